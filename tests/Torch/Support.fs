module Fokker.Tests.Torch.Support

open System
open System.IO
open Expecto
open Fokker
open Fokker.Tests

/// A folder of the test's own, gone afterwards.
let inFolder (test: string -> unit) =
    let folder = Directory.CreateTempSubdirectory "fokker-tests-"

    try
        test folder.FullName
    finally
        folder.Delete true

module private Limits =

    [<System.Runtime.InteropServices.DllImport("libc")>]
    extern int getrlimit(int resource, uint64[] limits)

    [<System.Runtime.InteropServices.DllImport("libc")>]
    extern int setrlimit(int resource, uint64[] limits)

/// Without it SIGXFSZ would end the process; with it the write that it comes of fails. It stays for good: .NET hands signals on by a thread of its own, which may
/// come to one only when the limit is gone again.
let private survivingTooLongFiles =
    lazy
        (Runtime.InteropServices.PosixSignalRegistration.Create(
            enum<Runtime.InteropServices.PosixSignal> 25,
            fun context -> context.Cancel <- true
        ))

/// Runs `action` on a disk that has room for files of so many bytes: a write beyond that fails, as on a full one.
let onFullDisk (bytes: int) (action: unit -> unit) =
    let fileSize = 1 // RLIMIT_FSIZE
    survivingTooLongFiles.Force() |> ignore
    let limits = Array.zeroCreate<uint64> 2
    Limits.getrlimit (fileSize, limits) |> ignore

    try
        Expect.equal (Limits.setrlimit (fileSize, [| uint64 bytes; limits[1] |])) 0 ""
        action ()
    finally
        Limits.setrlimit (fileSize, limits) |> ignore

/// Asserts equality; sequences of any kind are compared element by element.
let equal (expected: obj) (actual: obj) = Expect.same actual expected ""

/// Asserts that `action` raises 'E with all of `parts` in a message of one line.
let raises<'E when 'E :> exn> (parts: string list) (action: unit -> unit) =
    match
        (try
            action ()
            None
         with :? 'E as e ->
             Some e.Message)
    with
    | None -> failtest $"expected {typeof<'E>.Name} with {parts}"
    | Some message ->
        Expect.stringLacks message "\n" ""

        for part in parts do
            Expect.stringContains message part ""

/// Asserts that `action` is refused with a UserError that contains all of `parts`.
let refused parts action = raises<UserError> parts action

let f64 (shape: int list) (data: float list) = Tensor.ofArray shape (Array.ofList data)

/// Largest difference between two tensors of one shape.
let distance (a: Tensor) (b: Tensor) =
    equal b.Shape a.Shape
    if a.Count = 0L then 0.0 else (Tensor.max (Tensor.abs (a - b))).ToFloat()

/// Asserts |a − b| ≤ tolerance · (1 + |b|) everywhere.
let close (tolerance: float) (a: Tensor) (b: Tensor) =
    equal b.Shape a.Shape
    let difference = Tensor.abs (a - b) / (1.0 + Tensor.abs b)
    let worst = if a.Count = 0L then 0.0 else (Tensor.max difference).ToFloat()
    // A NaN compares with nothing, so the assertion has to be this way round.
    Expect.isTrue (worst <= tolerance) $"differ by {worst}, more than {tolerance}"
