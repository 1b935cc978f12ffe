module Fokker.Tests.Theory.Expect

open System
open NUnit.Framework

/// |actual − expected| ≤ tolerance.
let close (tolerance: float) (expected: float) (actual: float) (what: string) =
    Assert.That(actual, Is.EqualTo(expected).Within(tolerance), what)

let holds (condition: bool) (what: string) = Assert.That(condition, what)

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
    | Some other -> raise (AssertionException($"expected {typeof<'E>.Name}, got {other}"))
    | None -> raise (AssertionException $"expected {typeof<'E>.Name}, nothing was raised")

/// The message names every one of the parts.
let names (parts: string list) (message: string) =
    for part in parts do
        holds (message.Contains(part, StringComparison.Ordinal)) $"'{part}' in: {message}"
