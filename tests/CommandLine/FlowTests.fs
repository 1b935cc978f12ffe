/// Flows that are followed from the command line: likelihoods by adaptive steps.
module Fokker.Tests.CommandLine.FlowTests

open System.IO
open System.Text.Json.Nodes
open Expecto
open Fokker
open Fokker.Tests
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

let private done' (outcome: Outcome) = Expect.equal outcome.Code 0 outcome.Error
let private largest (x: Tensor) = (Tensor.max (abs (Tensor.flatten x))).ToFloat()

let private number (path: string) (json: JsonObject) =
    (path.Split '.' |> Array.fold (fun (node: JsonNode) (name: string) -> nonNull node[name]) json).GetValue<float>()

let private onOracle (command: string) (words: Folder -> string list) (f: Folder) =
    fokker ([ command; "--oracle"; f.File "mixture.json"; "--json"; "--quiet" ] @ words f)

[<Tests>]
let tests =
    testList
        "CommandLine.Flow"
        [ testCase "a likelihood by adaptive steps meets its tolerance and says what it cost"
          <| fun () ->
              use f = folder ()
              let exact = Mixture.logDensityOfData (law ()) (Npy.read (f.File "x.npy"))

              let density words =
                  let outcome =
                      onOracle
                          "likelihood"
                          (fun f ->
                              [ "--data"; f.File "x.npy"; "--out"; f.File "logp.npy"; "--method"; "flow" ] @ words)
                          f
                  done' outcome
                  largest (Npy.read (f.File "logp.npy") - exact), json outcome

              for path in [ "condot"; "vp"; "trigonometric" ] do
                  let loose, cheap = density [ "--path"; path; "--rtol"; "1e-4" ]
                  let tight, dear =
                      density [ "--path"; path; "--rtol"; "1e-9"; "--atol"; "1e-10"; "--solver"; "dop853" ]
                  Expect.isLessThan loose 1e-2 path
                  Expect.isLessThan tight 1e-6 path
                  Expect.isGreaterThan (number "evaluations" dear) (number "evaluations" cheap) ""
                  Expect.equal (number "rtol" cheap) 1e-4 ""

              let _, little = density [ "--rtol"; "1e-4"; "--memory"; "1" ]
              Expect.equal (number "memory" little) 1048576.0 ""
              let _, vp = density [ "--path"; "vp"; "--rtol"; "1e-6" ]
              Expect.between 1e-7 1e-2 (abs (number "gaussianPriorCost" vp)) ""
              let _, probes = density [ "--rtol"; "1e-5"; "--trace"; "gaussian"; "--probes"; "4" ]
              Expect.equal (number "probes" probes) 4.0 ""
              Expect.isGreaterThan (number "probeStandardError" probes) 0.0 ""

          testCase "tolerances, probes and solvers that make no sense are refused"
          <| fun () ->
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
                    [ "--probes"; "2" ], [ "--probes 2"; "exact"; "gaussian" ]
                    [ "--memory"; "0" ], [ "--memory 0"; "MiB"; "at least 1" ] ] do
                  assertRefused
                      (onOracle "likelihood" (fun f -> [ "--data"; f.File "x.npy"; "--method"; "flow" ] @ words) f)
                      expected

              // Where nothing is more exact, nothing more exact is recommended.
              let tight =
                  onOracle "likelihood" (fun f -> [ "--data"; f.File "x.npy"; "--method"; "flow"; "--rtol"; "1e-30" ]) f

              assertRefused tight [ "float64"; "loosen it" ]
              Expect.stringLacks tight.Error "--dtype" ""

              for option, value in [ "--rtol", "1e-5"; "--memory", "64" ] do
                  assertRefused (onOracle "likelihood" (fun _ -> [ option; value ]) f) [ option; "--method flow" ]

          // ---- encode
          testCase "what is encoded looks like noise, and samples come back from it"
          <| fun () ->
              use f = folder ()
              let x = Npy.read (f.File "x.npy")

              for path in [ "condot"; "vp" ] do
                  let outcome =
                      onOracle
                          "encode"
                          (fun f ->
                              [ "--data"; f.File "x.npy"; "--out"; f.File "z.npy"; "--path"; path; "--rtol"; "1e-8" ])
                          f

                  done' outcome
                  Expect.isLessThan (number "roundTrip.largest" (json outcome)) 1e-6 ""
                  let z = Npy.read (f.File "z.npy")
                  equal x.Shape z.Shape
                  // The library's own answer: the flow from 0 to 1, over σ(1).
                  let path = Paths.all |> List.find (fun p -> p.Name = path)
                  let ode = { Velocity = Mixture.velocity path (law ()) }

                  match Adaptive.run (Tolerance.both 1e-10) Tableau.dop853 ode [| 0.0; 1.0 |] x with
                  | Ok solution ->
                      let expected = solution.Final * (1.0 / Curve.eval path.Sigma 1.0)
                      Expect.isLessThan (largest (z - expected)) 1e-6 ""
                  | Error failure -> failtest (string failure)

              // Coarse steps do not come back so near.
              let coarse =
                  onOracle "encode" (fun f -> [ "--data"; f.File "x.npy"; "--out"; f.File "z.npy"; "--steps"; "3" ]) f

              done' coarse
              Expect.isGreaterThan (number "roundTrip.largest" (json coarse)) 1e-4 ""

          testCase "a run's data are encoded too"
          <| fun () ->
              use f = folder ()
              let root = f.File "runs"
              done' (fokker ([ "train"; "moons"; "--name"; "first"; "--runs"; root ] @ small))
              let outcome =
                  fokker
                      [ "encode"
                        "first"
                        "--runs"
                        root
                        "-n"
                        "50"
                        "--rtol"
                        "1e-4"
                        "--out"
                        f.File "z.npy"
                        "--json" ]
              done' outcome
              Expect.equal ((Npy.read (f.File "z.npy")).Dtype) Dtype.Float32 ""
              Expect.isLessThan (number "roundTrip.rootMeanSquare" (json outcome)) 1e-2 ""

          testCase
              "what a flow between two data sets encodes is in the units of the one that it starts from, and comes back as its source"
          <| fun () ->
              use f = folder ()
              let root = f.File "runs"
              let file name mean deviation =
                  Npy.write (f.File name) (mean + deviation * Rng.normal Kind.Float64 [ 200; 2 ] (Rng.ofSeed 4L))
              file "data.npy" 1e6 1e3
              file "source.npy" 5.0 0.1
              let data, source = "npy:" + f.File "data.npy", "npy:" + f.File "source.npy"
              let run words = done' (fokker (words @ [ "--runs"; root ]))
              run ([ "train"; data; "--loss"; "i-cfm"; "--source"; source; "--name"; "flow" ] @ small)
              run [ "encode"; "flow"; "--data"; f.File "data.npy"; "--rtol"; "1e-6"; "--out"; f.File "z.npy" ]
              let z = (Npy.read (f.File "z.npy")).To Dtype.Float64
              // A network that has hardly learned moves nothing far: the standardized data are standardized samples of the source.
              Expect.isLessThan (abs ((Tensor.mean z).ToFloat() - 5.0)) 0.1 ""
              run [ "sample"; "flow"; "--source"; f.File "z.npy"; "--rtol"; "1e-6"; "--out"; f.File "x.npy" ]
              let back = (Npy.read (f.File "x.npy")).To Dtype.Float64 - Npy.read (f.File "data.npy")
              Expect.isLessThan (largest back) 1.0 ""
              // Of 200 samples 20 are held out: there are ten pairs of them.
              let between words =
                  fokker ([ "interpolate"; "flow"; "--rtol"; "1e-3"; "--runs"; root; "--out"; f.File "w.png" ] @ words)
              done' (between [])
              assertRefused (between [ "--pairs"; "11" ]) [ "--pairs 11"; "at most 10" ]

          // ---- interpolate
          testTheory "an interpolation is strips and a page" [ false; true ]
          <| fun (linear: bool) ->
              use f = folder ()

              let outcome =
                  onOracle
                      "interpolate"
                      (fun f ->
                          [ "--data"; f.File "x.npy"; "--frames"; "4"; "--rtol"; "1e-7"; "--out"; f.File "ways.png" ]
                          @ (if linear then [ "--linear" ] else []))
                      f

              done' outcome
              let found = json outcome
              Expect.equal (number "pairs" found) 6.0 ""
              Expect.isLessThan (number "roundTrip.rootMeanSquare" found) 1e-5 ""
              equal "PNG"B (Array.sub (File.ReadAllBytes(f.File "ways.png")) 1 3)
              Expect.stringContains (File.ReadAllText(f.File "ways.html")) (if linear then "linear" else "spherical") ""

          testCase "encodings and interpolations that make no sense are refused"
          <| fun () ->
              use f = folder ()
              let before = f.Contents

              for command, words, expected in
                  [ "encode", (fun _ -> [ "--rtol"; "0" ]), [ "--rtol 0"; "positive" ]
                    "encode", (fun _ -> [ "--solver"; "euler-maruyama" ]), [ "euler-maruyama"; "an encoding" ]
                    "encode", (fun (f: Folder) -> [ "--data"; f.File "wide.npy" ]), [ "wide.npy"; "[n; 2]" ]
                    "encode", (fun f -> [ "--data"; f.File "x.npy"; "-n"; "3" ]), [ "-n 3"; "--data" ]
                    "encode", (fun _ -> [ "--out"; "z.txt" ]), [ "z.txt"; ".npy" ]
                    "encode", (fun _ -> [ "--label"; "1" ]), [ "--class 1"; "--data" ]
                    "interpolate", (fun _ -> [ "--frames"; "1" ]), [ "--frames 1"; "ends" ]
                    "interpolate", (fun _ -> [ "--pairs"; "0" ]), [ "--pairs 0" ]
                    "interpolate", (fun _ -> [ "--out"; "ways.gif" ]), [ "ways.gif"; ".png" ]
                    "interpolate", (fun _ -> [ "--between"; "0"; "1" ]), [ "--between 0 1"; "classes" ]
                    "interpolate", (fun f -> [ "--data"; f.File "x.npy"; "--pairs"; "2" ]), [ "--pairs 2"; "--data" ]
                    "interpolate", (fun _ -> [ "--solver"; "euler-maruyama" ]), [ "euler-maruyama"; "an interpolation" ] ] do
                  assertRefused (onOracle command words f) expected

              equal before f.Contents

          // ---- evaluate --against
          testCase "the divergence of two exact reverse processes is that of their laws"
          <| fun () ->
              use f = folder ()
              // N(m, s²) against N(m', s'²), coordinate by coordinate.
              File.WriteAllText(f.File "mixture.json", """{"means": [[0.3, -0.2]], "stds": [[0.8, 0.5]]}""")
              File.WriteAllText(f.File "law.json", """{"means": [[0.1, 0.1]], "stds": [[0.6, 0.7]]}""")

              let kl (m: float) (s: float) (m': float) (s': float) =
                  System.Math.Log(s' / s) + (s * s + (m - m') ** 2.0) / (2.0 * s' * s') - 0.5

              let divergence law =
                  let outcome =
                      onOracle
                          "evaluate"
                          (fun f -> [ "--path"; "vp"; "--draws"; "2"; "-n"; "8"; "--against"; f.File law ])
                          f
                  done' outcome
                  number "pathDivergence.value" (json outcome), number "pathDivergence.standardError" (json outcome)

              let itself, _ = divergence "mixture.json"
              Expect.within 1e-12 itself 0.0 ""
              // P is of law.json. What vp leaves of the data at t = 1 and t = 10⁻³ is thousandths of a nat, and so is the error of 500 steps.
              let value, error = divergence "law.json"
              let exact = kl 0.1 0.6 0.3 0.8 + kl 0.1 0.7 -0.2 0.5
              Expect.isLessThan error 0.02 ""
              Expect.within (4.0 * error + 0.01) value exact ""

          testCase "a law of other data is refused"
          <| fun () ->
              use f = folder ()
              File.WriteAllText(f.File "wide.json", """{"means": [[0, 0, 0]], "stds": [[1, 1, 1]]}""")
              assertRefused
                  (onOracle "evaluate" (fun f -> [ "--against"; f.File "wide.json"; "-n"; "8"; "--draws"; "2" ]) f)
                  [ "--against"; "3 dimensions"; "[2]" ]
              assertRefused (onOracle "evaluate" (fun f -> [ "--against"; f.File "no.json" ]) f) [ "no.json" ]

          // A consistency model has neither a velocity nor a score.
          testCase "a run that jumps to the data is refused where a flow, a score or a solver is asked for"
          <| fun () ->
              use f = new Folder()
              let root = f.File "runs"
              let trained = fokker ([ "train"; "moons"; "--loss"; "ict"; "--name"; "jump"; "--runs"; root ] @ small)
              Expect.equal trained.Code 0 trained.Error
              let before = f.Contents

              for words, expected in
                  [ [ "likelihood"; "jump" ], [ "jump"; "knows no velocity" ]
                    [ "encode"; "jump" ], [ "jump"; "knows no velocity" ]
                    [ "interpolate"; "jump" ], [ "jump"; "knows no velocity" ]
                    [ "sample"; "jump"; "--rtol"; "1e-3" ], [ "--rtol 0.001"; "jump"; "needs no solver" ]
                    [ "sample"; "jump"; "--parallel"; "4" ], [ "--parallel 4"; "score" ]
                    [ "sample"; "jump"; "--guidance"; "2"; "--autoguidance"; "jump" ],
                    [ "--autoguidance"; "jump"; "score" ]
                    [ "sample"; "jump"; "--solver"; "rk4" ], [ "--solver rk4"; "jump"; "leave --solver out" ]
                    [ "sample"; "jump"; "--grid"; "karras" ], [ "--grid karras"; "jump"; "leave --grid out" ] ] do
                  assertRefused (fokker (words @ [ "--runs"; root; "--quiet" ])) expected

              equal before f.Contents ]
