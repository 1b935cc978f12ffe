module Fokker.Tests.Theory.Expect

open System
open Expecto
open Fokker.Tests

/// |actual − expected| ≤ tolerance.
let close (tolerance: float) (expected: float) (actual: float) (what: string) =
    Expect.within tolerance actual expected what

let holds (condition: bool) (what: string) = Expect.isTrue condition what

/// The message of the exception of type 'E that `f` must raise.
let raises<'E, 'T when 'E :> exn> (f: unit -> 'T) : string =
    let thrown =
        try
            f () |> ignore
            None
        with e ->
            Some e

    match thrown with
    | Some(:? 'E as e) -> e.Message
    | Some other -> failtest $"expected {typeof<'E>.Name}, got {other}"
    | None -> failtest $"expected {typeof<'E>.Name}, nothing was raised"

/// The message names every one of the parts.
let names (parts: string list) (message: string) =
    for part in parts do
        holds (message.Contains(part, StringComparison.Ordinal)) $"'{part}' in: {message}"
