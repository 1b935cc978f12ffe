module Fokker.Tests.Training.Support

open System
open System.IO
open Expecto
open Fokker
open Fokker.Tests

/// A folder of the test's own, gone when the test is over.
let inFolder (test: string -> unit) =
    let folder = Directory.CreateTempSubdirectory("fokker-test-").FullName

    try
        test folder
    finally
        Directory.Delete(folder, true)

/// The message of the UserError that `action` raises, which has to be one line.
let userError (action: unit -> 'T) : string =
    let mutable message = None

    try
        action () |> ignore
    with :? UserError as e ->
        message <- Some e.Message

    match message with
    | None -> failtest "a UserError was expected, and nothing was raised"
    | Some text ->
        Expect.stringLacks text "\n" ""
        text

/// Asserts that the message names every one of `parts`.
let names (parts: string list) (message: string) =
    for part in parts do
        Expect.stringContains message part ""

/// The largest difference between two arrays of numbers.
let distance (a: float[]) (b: float[]) =
    Expect.equal a.Length b.Length ""
    Array.map2 (fun x y -> abs (x - y)) a b |> Array.fold max 0.0

/// Asserts that |a − b| ≤ tolerance everywhere.
let close (tolerance: float) (expected: float[]) (found: float[]) =
    Expect.isLessThanOrEqual (distance expected found) tolerance ""

/// Big-endian IDX of any type and shape, as bytes.
let idx (dtype: byte) (shape: int list) (data: byte[]) =
    [| yield! [| 0uy; 0uy; dtype; byte shape.Length |]
       for size in shape do
           yield! Array.rev (BitConverter.GetBytes size)
       yield! data |]

/// A network of one parameter vector and nothing else: f(t, x) = x + w.
let shift (n: int) : Network =
    { Name = "shift"
      Settings = [ "dimension", string n ]
      Specs = [| { Name = "w"; Shape = [ n ]; Initializer = Initializer.Normal 1.0 } |]
      Apply = fun parameters _ _ x -> x + parameters[0]
      Uncertainty = None
      Fitted = None
      Dropping = None }

/// A small MLP on the plane.
let small = Networks.mlp { Mlp.standard 2 with Width = 32; Depth = 2 }

let flowMatching = Loss.ofRegression (Loss.cfm Path.condOT)

/// What is written of parameters of a network that predicts the velocity of points of the plane.
let trainedOf (network: Network) (parameters: Tensor[]) (steps: int64) : TrainedNetwork =
    { Network = network
      Parameters = parameters
      Path = Path.condOT
      Output = NetworkOutput.Prediction(Prediction.velocity, None, false)
      Shape = [ 2 ]
      Classes = []
      Units = (Dataset.ofLaw Plane.moons).Units
      Latent = None
      Columns = []
      Range = None
      Labels = false
      Given = None
      Null = false
      Source = None
      Times = []
      Kind = Kind.Float32
      Training = { Data = "moons"; Digest = None; Loss = "cfm"; Steps = steps; Seed = 3L; Version = Run.version } }

/// A run of `small` on two moons.
let plan (steps: int64) : Plan =
    { Dataset = Dataset.ofLaw Plane.moons
      Network = small
      Loss = flowMatching
      Prepare = None
      BatchSize = 32
      Settings = Trainer.standard
      Seed = 3L
      Start = None
      Milestones = []
      Snapshot = fun _ -> false
      Kind = Kind.Float32
      Budget = Budget.Steps steps
      Save = Cadence.Steps 25L
      Trained = trainedOf small }
