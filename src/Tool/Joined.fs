namespace Fokker.Tool

open System
open Fokker

/// The processes that a launcher started together: `fokker launch -n 2 -- train moons`, `mpirun -n 2 ./fokker sample moons`, or a batch system.
module Joined =

    /// How long one process waits for another, in seconds, before all end: FOKKER_RANKS_TIMEOUT, or ten minutes.
    let private timeout () =
        match Environment.GetEnvironmentVariable "FOKKER_RANKS_TIMEOUT" with
        | null
        | "" -> TimeSpan.FromMinutes 10.0
        | text ->
            match
                Double.TryParse(text, Globalization.NumberStyles.Float, Globalization.CultureInfo.InvariantCulture)
            with
            | true, seconds when seconds >= 1.0 && seconds <= 86_400.0 -> TimeSpan.FromSeconds seconds
            | _ -> raise (UserError $"FOKKER_RANKS_TIMEOUT={text}: expected seconds, from 1 to 86,400")

    /// Those that are on this machine have its cores among them, where nobody has said how many threads each is to take.
    let private shareCores () =
        let local =
            [ "OMPI_COMM_WORLD_LOCAL_SIZE"; "MPI_LOCALNRANKS"; "SLURM_NTASKS_PER_NODE" ]
            |> List.tryPick (fun name ->
                match Int32.TryParse(Environment.GetEnvironmentVariable name) with
                | true, n when n > 0 -> Some n
                | _ -> None)

        if isNull (Environment.GetEnvironmentVariable "OMP_NUM_THREADS") then
            // A launcher that binds processes to cores has shared them out already.
            let bound = Environment.ProcessorCount
            let whole = Torch.threads ()
            Torch.setThreads (max 1 (min bound (whole / defaultArg local 1)))

    /// Runs work that several processes may do together, each told which of them it is. Where it fails in one of them, all end.
    let around (command: string) (terminal: Terminal) (work: IRanks -> Terminal -> int) : int =
        if Mpi.StartedTogether = 1 then
            work Ranks.alone terminal
        else
            let mpi = Mpi.Join(timeout ())
            let ranks = mpi :> IRanks
            shareCores ()

            // One of them speaks.
            let terminal =
                if ranks.Rank = 0 then
                    terminal
                else
                    { terminal with
                        Out = IO.TextWriter.Null
                        Error = IO.TextWriter.Null
                        Quiet = true
                        IsScreen = false }

            try
                let code = work ranks terminal
                mpi.Finish()
                code
            with error ->
                // What all of them refuse alike is said once, by the first.
                if ranks.Rank > 0 then
                    // The first has the time to say it; where it is only here that something failed, it is said here.
                    Threading.Thread.Sleep 2000

                let said = fst (Errors.describe command error)
                ranks.Abort(if ranks.Rank = 0 then said else $"process {ranks.Rank}: {said}")
                reraise ()
