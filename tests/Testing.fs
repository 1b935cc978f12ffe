/// The few words that the tests have beside Expecto's own.
[<AutoOpen>]
module Fokker.Tests.Testing

open System
open Expecto

/// The label of what takes longer than a few seconds.
let fullTier = "full"

/// Puts a test, or a list of them, into the full tier: `./build.sh TestAll` runs it, `./build.sh Test` does not.
let full (test: Test) = testLabel fullTier test

/// One test for each case, named by `label` where the case itself has no short form.
let testEach (name: string) (label: 'T -> string) (cases: 'T seq) (test: 'T -> unit) =
    testList name [ for case in cases -> testCase (label case) (fun () -> test case) ]

/// A property that is tried so many times, where the hundred of Expecto's default would take too long.
let tries (count: int) = { FsCheckConfig.defaultConfig with maxTest = count }

/// The exception of type 'E that `action` raises.
let raised<'E when 'E :> exn> (action: unit -> unit) : 'E =
    let found =
        try
            action ()
            None
        with e ->
            Some e

    match found with
    | Some(:? 'E as e) when e.GetType() = typeof<'E> -> e
    | Some other -> failtest $"expected {typeof<'E>.Name}, got {other}"
    | None -> failtest $"expected {typeof<'E>.Name}, nothing was raised"

/// Waits until nothing that has been dropped is left for the collector: what counts tensors would see it go.
let collect () =
    GC.Collect()
    GC.WaitForPendingFinalizers()

/// Each of the tests comes after `action`, in the time of the test.
let rec following (action: unit -> unit) (test: Test) =
    match test with
    | TestCase(Sync run, state) -> TestCase(Sync(action >> run), state)
    | TestCase _ -> failwith "following: only for tests that are plain functions"
    | TestList(tests, state) -> TestList(List.map (following action) tests, state)
    | TestLabel(name, test, state) -> TestLabel(name, following action test, state)
    | Test.Sequenced(how, test) -> Test.Sequenced(how, following action test)

/// Before each of the tests nothing that the one before dropped is left for the collector.
let collected (test: Test) = following collect test

/// Continues Expecto's module of this name.
module Expect =

    /// |actual − expected| ≤ tolerance.
    let within (tolerance: float) (actual: float) (expected: float) (message: string) =
        // A NaN compares with nothing, so the condition has to be this way round; ∞ − ∞ is none.
        if not (actual = expected || abs (actual - expected) <= tolerance) then
            failtest $"{message}. {actual} is {abs (actual - expected)} from {expected}, more than {tolerance}"

    /// As many as expected, and each within the tolerance of its own.
    let allWithin (tolerance: float) (actual: float seq) (expected: float seq) (message: string) =
        Expect.hasLength actual (Seq.length expected) message
        Seq.iter2 (fun x y -> within tolerance x y message) actual expected

    /// low ≤ actual ≤ high.
    let between (low: 'T) (high: 'T) (actual: 'T) (message: string) =
        if not (low <= actual && actual <= high) then
            failtest $"{message}. {actual} is not between {low} and {high}"

    /// No two are equal.
    let unique (items: 'T seq) (message: string) =
        match items |> Seq.countBy id |> Seq.filter (fun (_, count) -> count > 1) |> List.ofSeq with
        | [] -> ()
        | twice -> failtest $"{message}. More than once: %A{List.map fst twice}"

    /// `part` is nowhere in the text.
    let stringLacks (text: string) (part: string) (message: string) =
        if text.Contains(part, StringComparison.Ordinal) then
            failtest $"{message}. '{part}' is in: {text}"

    /// Equal, where what is compared comes as objects: sequences of any kind element by element, numbers of any kind as numbers, NaN equal to itself.
    let same (actual: obj | null) (expected: obj | null) (message: string) =
        let rec plain (value: obj | null) : obj | null =
            match value with
            | :? string -> value
            | :? Collections.IEnumerable as items -> box [| for item in items -> plain item |]
            | :? int as n -> box (int64 n)
            | :? float32 as x -> box (float x)
            | value -> value

        let actual, expected = plain actual, plain expected

        if not (LanguagePrimitives.GenericEqualityER actual expected) then
            failtest $"{message}. Found %A{actual}, expected %A{expected}"
