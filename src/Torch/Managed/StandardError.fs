namespace Fokker

open System
open System.IO
open System.Runtime.InteropServices
open System.Text

/// What libtorch says of an error it says on C++'s `std::cerr` alone: the C ABI gives a number. Here a stream buffer is put under `std::cerr` that
/// hands what a thread writes while it is inside a call to that thread, and everything else to the error stream, as before. It is done for GNU's
/// library of C++, whose layout of such a buffer has been the same since its version 6 (2004): its virtual functions are called by a table, and the table
/// here is a copy of the original with two entries changed.
[<AbstractClass; Sealed>]
type internal StandardError private () =

    [<ThreadStatic; DefaultValue>]
    static val mutable private heard: MemoryStream | null

    [<ThreadStatic; DefaultValue>]
    static val mutable private inside: bool

    static member private Take(bytes: ReadOnlySpan<byte>) =
        if StandardError.inside then
            let heard =
                match StandardError.heard with
                | null ->
                    let made = new MemoryStream()
                    StandardError.heard <- made
                    made
                | heard -> heard

            heard.Write bytes
        else
            StandardError.Forward bytes

    static member private Forward(bytes: ReadOnlySpan<byte>) =
        try
            use stream = Console.OpenStandardError()
            stream.Write bytes
        with :? IOException ->
            () // nobody listens

    /// From now on what this thread's native code writes is kept.
    static member Listen() = StandardError.inside <- true

    /// The end of it: what was written, empty where nothing was.
    static member Heard() : string =
        StandardError.inside <- false

        match StandardError.heard with
        | null -> ""
        | heard when heard.Length = 0L -> ""
        | heard ->
            let text = Encoding.UTF8.GetString(heard.GetBuffer(), 0, int heard.Length)
            heard.SetLength 0L
            text

    /// Says it on the error stream after all.
    static member Say(text: string) = StandardError.Forward(ReadOnlySpan(Encoding.UTF8.GetBytes text))

    static member internal Accept(bytes: nativeint, length: int) =
        StandardError.Take(ReadOnlySpan<byte>(bytes.ToPointer(), length))

module internal StandardErrorBuffer =

    [<UnmanagedFunctionPointer(CallingConvention.Cdecl)>]
    type private Write = delegate of nativeint * nativeint * nativeint -> nativeint

    [<UnmanagedFunctionPointer(CallingConvention.Cdecl)>]
    type private Overflow = delegate of nativeint * int -> int

    [<UnmanagedFunctionPointer(CallingConvention.Cdecl)>]
    type private Construct = delegate of nativeint -> unit

    [<UnmanagedFunctionPointer(CallingConvention.Cdecl)>]
    type private Exchange = delegate of nativeint * nativeint -> nativeint

    // streamsize xsputn(const char*, streamsize)
    let private write =
        Write(fun _ bytes length ->
            try
                StandardError.Accept(bytes, int length)
            with _ ->
                () // a message is lost; an exception here would end the process

            length)

    // int overflow(int)
    let private overflow =
        Overflow(fun _ character ->
            if character >= 0 then
                try
                    let one = Marshal.AllocHGlobal 1
                    Marshal.WriteByte(one, byte character)
                    StandardError.Accept(one, 1)
                    Marshal.FreeHGlobal one
                with _ ->
                    ()

            max character 0)

    // In the order of the class's declaration, after the two that C++ puts first.
    let private entries, private atWrite, private atOverflow = 16, 14, 15

    let private put () : bool =
        let found, library = NativeLibrary.TryLoad "libstdc++.so.6"

        let export (name: string) =
            match NativeLibrary.TryGetExport(library, name) with
            | true, address -> address
            | _ -> 0n

        if not found then
            false
        else
            let stream = export "_ZSt4cerr"
            let table = export "_ZTVSt15basic_streambufIcSt11char_traitsIcEE"
            let construct = export "_ZNSt15basic_streambufIcSt11char_traitsIcEEC2Ev"
            let exchange = export "_ZNSt9basic_iosIcSt11char_traitsIcEE5rdbufEPSt15basic_streambufIcS1_E"

            if stream = 0n || table = 0n || construct = 0n || exchange = 0n then
                false
            else
                let ours = Marshal.AllocHGlobal(8 * entries)

                for k in 0 .. entries - 1 do
                    Marshal.WriteIntPtr(ours, 8 * k, Marshal.ReadIntPtr(table, 8 * k))

                Marshal.WriteIntPtr(ours, 8 * atWrite, Marshal.GetFunctionPointerForDelegate write)
                Marshal.WriteIntPtr(ours, 8 * atOverflow, Marshal.GetFunctionPointerForDelegate overflow)

                // The table's address, six pointers into a buffer that is not there, a locale. An object's address of the table points behind the
                // two entries that C++ keeps for itself.
                let buffer = Marshal.AllocHGlobal 64
                Marshal.GetDelegateForFunctionPointer<Construct>(construct).Invoke buffer
                Marshal.WriteIntPtr(buffer, 0, ours + 16n)

                // A stream is a virtual base of its own: the table of cerr says where it lies.
                let offset = Marshal.ReadIntPtr(Marshal.ReadIntPtr stream, -24)
                let exchange = Marshal.GetDelegateForFunctionPointer<Exchange> exchange
                let before = exchange.Invoke(stream + offset, buffer)
                // Native code may write until the very end, when there is nobody to hand it to.
                AppDomain.CurrentDomain.ProcessExit.Add(fun _ -> exchange.Invoke(stream + offset, before) |> ignore)
                true

    /// Whether what native code writes on std::cerr is kept for its thread. Done once.
    let install: Lazy<bool> =
        lazy (OperatingSystem.IsLinux() && RuntimeInformation.ProcessArchitecture = Architecture.X64 && put ())
