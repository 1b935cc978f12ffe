namespace Fokker

open System
open System.Diagnostics
open System.Runtime.InteropServices
open System.Threading

/// Processes that train one model together, each on a share of every batch (data parallelism), or draw samples of one: what they ask of each other. Everything here is called by all of them, in the same order.
type IRanks =
    /// This process's number, from 0. The one with number 0 writes.
    abstract Rank: int
    abstract Count: int
    /// Sums `count` numbers at `data`, float64 or float32, over all processes, in their place: the same bits everywhere.
    abstract Sum: data: nativeint * count: int64 * isDouble: bool -> unit
    /// Whether a sum may be asked for by another thread than the one that asks for everything else, which asks for nothing meanwhile.
    abstract SumsBeside: bool
    /// The bytes that process `from` has at `data`, in their place.
    abstract Broadcast: from: int * data: nativeint * bytes: int64 -> unit
    /// Ends all processes, those that wait for this one included.
    abstract Abort: reason: string -> unit

/// The functions of MPI that are called, as its standard declares them. Communicators, types, operations and requests are pointers in Open MPI and 32-bit numbers in MPICH and its relatives; a
/// register holds either.
module internal MpiFunctions =

    type InitThread = delegate of argc: nativeint * argv: nativeint * required: int * provided: nativeint -> int
    type OfComm = delegate of comm: nativeint * result: nativeint -> int

    type Allreduce =
        delegate of
            send: nativeint *
            receive: nativeint *
            count: int *
            datatype: nativeint *
            op: nativeint *
            comm: nativeint *
            request: nativeint ->
                int

    type Bcast =
        delegate of
            buffer: nativeint * count: int * datatype: nativeint * root: int * comm: nativeint * request: nativeint ->
                int

    type Send =
        delegate of
            buffer: nativeint *
            count: int *
            datatype: nativeint *
            dest: int *
            tag: int *
            comm: nativeint *
            request: nativeint ->
                int

    type Receive =
        delegate of
            buffer: nativeint *
            count: int *
            datatype: nativeint *
            source: int *
            tag: int *
            comm: nativeint *
            status: nativeint ->
                int

    type Probe = delegate of source: int * tag: int * comm: nativeint * flag: nativeint * status: nativeint -> int
    type Test = delegate of request: nativeint * flag: nativeint * status: nativeint -> int
    type Abort = delegate of comm: nativeint * code: int -> int
    type Finalize = delegate of unit -> int

    [<DllImport("libc")>]
    extern int private usleep(uint32 microseconds)

    /// Sleeps for less than .NET's millisecond, in which a message over a fast network could have come and gone several times; with the system's own slack it is some 70 µs.
    let pause () : unit = if OperatingSystem.IsWindows() then Thread.Sleep 1 else usleep 20u |> ignore

/// An MPI library and its world of processes. Waiting has an end: a process that others have waited for longer than the time-out is named, and all end.
[<Sealed>]
type Mpi private (library: nativeint, isOpen: bool, timeout: TimeSpan) =

    // What one process sends to another who wait for a third.
    static let asking, answering, finishing = 1, 2, 3

    let export (name: string) = NativeLibrary.GetExport(library, name)
    let call name : 'T = Marshal.GetDelegateForFunctionPointer<'T>(export name)

    let symbol (openName: string) (mpich: int64) = if isOpen then export openName else nativeint mpich

    let world = symbol "ompi_mpi_comm_world" 0x44000000L
    let bytes = symbol "ompi_mpi_byte" 0x4c00010dL
    let floats = symbol "ompi_mpi_float" 0x4c00040aL
    let doubles = symbol "ompi_mpi_double" 0x4c00080bL
    let sum = symbol "ompi_mpi_op_sum" 0x58000003L
    let inPlace = if isOpen then 1n else -1n

    let initThread: MpiFunctions.InitThread = call "MPI_Init_thread"
    let commRank: MpiFunctions.OfComm = call "MPI_Comm_rank"
    let commSize: MpiFunctions.OfComm = call "MPI_Comm_size"
    let allreduce: MpiFunctions.Allreduce = call "MPI_Iallreduce"
    let bcast: MpiFunctions.Bcast = call "MPI_Ibcast"
    let send: MpiFunctions.Send = call "MPI_Isend"
    let receive: MpiFunctions.Receive = call "MPI_Recv"
    let probe: MpiFunctions.Probe = call "MPI_Iprobe"
    let test: MpiFunctions.Test = call "MPI_Test"
    let abort: MpiFunctions.Abort = call "MPI_Abort"
    let finalize: MpiFunctions.Finalize = call "MPI_Finalize"

    // A flag, a number, a status (24 bytes in Open MPI, 20 in MPICH), a request and a byte that is sent.
    let memory = Marshal.AllocHGlobal 256
    let flag, number, status, request, content = memory, memory + 16n, memory + 32n, memory + 128n, memory + 160n

    let check (what: string) (code: int) =
        if code <> 0 then
            raise (UserError $"MPI: {what} failed with code {code}")

    let toNumber (what: string) (f: MpiFunctions.OfComm) =
        check what (f.Invoke(world, number))
        Marshal.ReadInt32 number

    // MPI_THREAD_SERIALIZED: calls come from one thread at a time, not always the same. A library may grant less, and says so.
    static let serialized = 2

    let granted =
        Marshal.WriteByte(content, 1uy)
        check "MPI_Init_thread" (initThread.Invoke(0n, 0n, serialized, number))
        Marshal.ReadInt32 number

    /// The thread that computes, and asks for everything but the sums beside.
    let home = Environment.CurrentManagedThreadId

    let rank, count = toNumber "MPI_Comm_rank" commRank, toNumber "MPI_Comm_size" commSize

    let others =
        [ for k in 0 .. count - 1 do
              if k <> rank then
                  yield k ]

    let hasCome (tag: int) (other: int) =
        check "MPI_Iprobe" (probe.Invoke(other, tag, world, flag, status))
        Marshal.ReadInt32 flag <> 0

    let take (tag: int) (other: int) = check "MPI_Recv" (receive.Invoke(number, 1, bytes, other, tag, world, status))

    /// A byte is sent at once, and its request is never waited for.
    let tell (tag: int) (other: int) =
        check "MPI_Isend" (send.Invoke(content, 1, bytes, other, tag, world, request + 16n))

    /// Those who ask whether this one waits too are told so.
    let answer () =
        for other in others do
            if hasCome asking other then
                take asking other
                tell answering other

    /// Who does not say within two seconds that it waits: it is they that all wait for.
    let missing () =
        others |> List.iter (tell asking)
        let clock = Stopwatch.StartNew()
        let mutable silent = others

        while not silent.IsEmpty && clock.Elapsed.TotalSeconds < 2.0 do
            answer ()
            silent <- silent |> List.filter (fun other -> not (hasCome answering other))
            Thread.Sleep 10

        if silent.IsEmpty then others else silent

    let fail (reason: string) =
        Console.Error.WriteLine $"fokker: {reason}"
        Console.Error.Flush()
        abort.Invoke(world, 3) |> ignore
        // MPI_Abort ends the process by a signal; that may take a moment.
        Thread.Sleep 10_000
        raise (UserError reason)

    let wait (what: string) =
        let clock = Stopwatch.StartNew()
        let mutable turns = 0
        let isDone () =
            check "MPI_Test" (test.Invoke(request, flag, status))
            Marshal.ReadInt32 flag <> 0

        while not (isDone ()) do
            turns <- turns + 1

            if turns % 1000 = 0 then
                answer ()

                if clock.Elapsed > timeout then
                    let names = missing () |> List.map (fun k -> $"process {k}") |> String.concat ", "
                    fail
                        $"process {rank} has waited {timeout.TotalSeconds:F0} s for {names} ({what}): all processes end; the last checkpoint is whole"

            // Others may need the core that this one waits on, and beside a sum it is this process that computes.
            if Environment.CurrentManagedThreadId <> home && turns > 20 then MpiFunctions.pause ()
            elif clock.ElapsedMilliseconds < 2L then Thread.Yield() |> ignore
            else Thread.Sleep 0

    let inPieces (data: nativeint) (total: int64) (size: int64) (start: nativeint -> int -> unit) (what: string) =
        let piece = 1L <<< 24

        for first in 0L .. piece .. total - 1L do
            start (data + nativeint (first * size)) (int (min piece (total - first)))
            wait what

    interface IRanks with
        member _.Rank = rank
        member _.Count = count
        member _.SumsBeside = granted >= serialized

        member _.Sum(data: nativeint, total: int64, isDouble: bool) =
            let datatype, size = if isDouble then doubles, 8L else floats, 4L

            let start at n = check "MPI_Iallreduce" (allreduce.Invoke(inPlace, at, n, datatype, sum, world, request))

            inPieces data total size start "a sum"

        member _.Broadcast(from: int, data: nativeint, total: int64) =
            let start at n = check "MPI_Ibcast" (bcast.Invoke(at, n, bytes, from, world, request))
            inPieces data total 1L start "a broadcast"

        member _.Abort(reason: string) : unit = fail reason

    /// Waits, without taking a core, until all have come to their end; process 0 may write results until then.
    member _.Finish() =
        if rank = 0 then
            others |> List.iter (tell finishing)
        else
            while not (hasCome finishing 0) do
                answer ()
                Thread.Sleep 50

            take finishing 0

        check "MPI_Finalize" (finalize.Invoke())

    /// How many processes were started together with this one, by what launchers say to each; 1 where none does.
    static member StartedTogether: int =
        [ "OMPI_COMM_WORLD_SIZE"; "PMI_SIZE"; "MV2_COMM_WORLD_SIZE" ]
        |> List.tryPick (fun name ->
            match Int32.TryParse(Environment.GetEnvironmentVariable name) with
            | true, n -> Some n
            | _ -> None)
        |> Option.defaultValue 1

    /// Joins the processes that were started together, by whichever MPI library is there. Raises UserError where there is none.
    static member Join(timeout: TimeSpan) : Mpi =
        let names =
            [ "libmpi.so.40"
              "libmpi.so.80"
              "libmpi.so.12"
              "libmpich.so.12"
              "libmpi.so"
              "libmpi.dylib"
              "msmpi.dll" ]

        let library =
            names
            |> List.tryPick (fun name ->
                match NativeLibrary.TryLoad name with
                | true, library -> Some library
                | _ -> None)

        match library with
        | None ->
            raise (
                UserError
                    $"""several processes were started together, and there is no MPI library to join them ({String.Join(", ", names)}): install Open MPI or MPICH"""
            )
        | Some library -> Mpi(library, fst (NativeLibrary.TryGetExport(library, "ompi_mpi_comm_world")), timeout)
