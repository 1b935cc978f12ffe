/// Flows that are followed from the command line: likelihoods by adaptive steps.
module Fokker.Tests.CommandLine.FollowingTests

open System.IO
open System.Text.Json.Nodes
open NUnit.Framework
open Fokker
open Fokker.Tests.CommandLine.Support

let private three =
    """{"weights": [0.5, 0.3, 0.2], "means": [[-1.5, 0], [1, 1.2], [0.8, -1]], "stds": [[0.5, 0.4], [0.3, 0.5], [0.5, 0.45]]}"""

let private law () = Mixture.ofJson "" three

/// A folder with mixture.json, samples of it in x.npy, and a file that fits nothing.
let private folder () =
    let folder = new Folder()
    File.WriteAllText(folder.File "mixture.json", three)
    Npy.write (folder.File "x.npy") (Mixture.sample 12 (Rng.ofSeed 2L) (law ()))
    Npy.write (folder.File "wide.npy") (Tensor.zeros Kind.Float64 [ 5; 3 ])
    folder

let private done' (outcome: Outcome) = Assert.That(outcome.Code, Is.EqualTo 0, outcome.Error)
let private largest (x: Tensor) = (Tensor.max (abs (Tensor.flatten x))).ToFloat()

let private number (path: string) (json: JsonObject) =
    (path.Split '.' |> Array.fold (fun (node: JsonNode) (name: string) -> nonNull node[name]) json).GetValue<float>()

let private onOracle (command: string) (words: Folder -> string list) (f: Folder) =
    fokker ([ command; "--oracle"; f.File "mixture.json"; "--json"; "--quiet" ] @ words f)

[<Test>]
let ``a likelihood by adaptive steps meets its tolerance and says what it cost`` () =
    use f = folder ()
    let exact = Mixture.logDensityOfData (law ()) (Npy.read (f.File "x.npy"))

    let density words =
        let outcome =
            onOracle
                "likelihood"
                (fun f -> [ "--data"; f.File "x.npy"; "--out"; f.File "logp.npy"; "--method"; "flow" ] @ words)
                f
        done' outcome
        largest (Npy.read (f.File "logp.npy") - exact), json outcome

    for path in [ "condot"; "vp"; "trigonometric" ] do
        let loose, cheap = density [ "--path"; path; "--rtol"; "1e-4" ]
        let tight, dear = density [ "--path"; path; "--rtol"; "1e-9"; "--atol"; "1e-10"; "--solver"; "dop853" ]
        Assert.That(loose, Is.LessThan 1e-2, path)
        Assert.That(tight, Is.LessThan 1e-6, path)
        Assert.That(number "evaluations" dear, Is.GreaterThan(number "evaluations" cheap))
        Assert.That(number "rtol" cheap, Is.EqualTo 1e-4)

    let _, vp = density [ "--path"; "vp"; "--rtol"; "1e-6" ]
    Assert.That(abs (number "gaussianPriorCost" vp), Is.InRange(1e-7, 1e-2))
    let _, probes = density [ "--rtol"; "1e-5"; "--trace"; "gaussian"; "--probes"; "4" ]
    Assert.That(number "probes" probes, Is.EqualTo 4.0)
    Assert.That(number "probeStandardError" probes, Is.GreaterThan 0.0)

[<Test>]
let ``tolerances, probes and solvers that make no sense are refused`` () =
    use f = folder ()

    for words, expected in
        [ [ "--rtol"; "0" ], [ "--rtol 0"; "positive" ]
          [ "--rtol"; "1e-5"; "--atol"; "-1" ], [ "--atol -1"; "positive" ]
          [ "--atol"; "1e-5" ], [ "--atol"; "--rtol" ]
          [ "--rtol"; "1e-5"; "--steps"; "10" ], [ "--steps"; "--rtol" ]
          [ "--rtol"; "1e-5"; "--grid"; "uniform" ], [ "--grid"; "--rtol" ]
          [ "--rtol"; "1e-9"; "--dtype"; "float32" ], [ "--rtol"; "float32"; "float64" ]
          [ "--rtol"; "1e-5"; "--solver"; "heun" ], [ "heun"; "dormand-prince" ]
          [ "--solver"; "euler-maruyama" ], [ "euler-maruyama"; "Runge–Kutta" ]
          [ "--probes"; "0"; "--trace"; "gaussian" ], [ "--probes 0"; "at least 1" ]
          [ "--probes"; "2" ], [ "--probes 2"; "exact"; "gaussian" ] ] do
        assertRefused
            (onOracle "likelihood" (fun f -> [ "--data"; f.File "x.npy"; "--method"; "flow" ] @ words) f)
            expected

    assertRefused (onOracle "likelihood" (fun _ -> [ "--rtol"; "1e-5" ]) f) [ "--rtol"; "--method flow" ]
