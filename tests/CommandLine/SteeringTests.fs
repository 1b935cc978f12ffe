/// Steering from the command line, where the law is known.
module Fokker.Tests.CommandLine.SteeringTests

open System
open System.IO
open System.Text.Json.Nodes
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tool
open Fokker.Tests.CommandLine.Support

let private mixture =
    """{"weights": [0.5, 0.3, 0.2], "means": [[-1.5, 0], [1, 1.2], [0.8, -1]], "stds": [[0.5, 0.4], [0.3, 0.5], [0.5, 0.45]]}"""

let private folderWith (files: (string * string) list) =
    let folder = new Folder()

    for name, text in ("mixture.json", mixture) :: files do
        File.WriteAllText(folder.File name, text)

    Npy.write (folder.File "y.npy") (Tensor.ofArray [ 1 ] [| 0.4 |])
    folder

let private sample (folder: Folder) (words: string list) =
    fokker ([ "sample"; "--oracle"; folder.File "mixture.json"; "--path"; "vp" ] @ words)

/// A field of a command's JSON, by its path.
let private field (path: string) (json: JsonNode) : JsonNode =
    path.Split '.' |> Array.fold (fun (node: JsonNode) (name: string) -> nonNull node[name]) json

let private observed (folder: Folder) = [ "--observe"; folder.File "o.json"; "--observed"; folder.File "y.npy" ]
let private line = "o.json", """{"matrix": [[1, 0.5]], "noise": 0.2}"""

// ---- imputation

let private impute (folder: Folder) (words: string list) =
    fokker ([ "impute"; "--oracle"; folder.File "mixture.json"; "--path"; "vp"; "--steps"; "12" ] @ words)

// ---- trained runs

/// Forty images of 8 × 8 bytes.
let private images (file: string) =
    let random = Random 1

    File.WriteAllBytes(
        file,
        [| yield! [| 0uy; 0uy; 8uy; 3uy |]
           for size in [ 40; 8; 8 ] do
               yield! Array.rev (BitConverter.GetBytes size)
           for i in 0 .. 40 * 64 - 1 do
               byte (60 + random.Next 60 + 80 * (i / 4 % 2)) |]
    )

[<Tests>]
let tests =
    testList
        "CommandLine.Steering"
        [ testCase "steered samples are float64 and those of the library, from given noise"
          <| fun () ->
              use folder = folderWith [ line ]
              Npy.write (folder.File "e.npy") (Rng.normal Kind.Float64 [ 7; 2 ] (Rng.ofSeed 1L))
              let file = folder.File "x.npy"
              let words =
                  [ "--steer"; "pigdm"; "--noise"; folder.File "e.npy"; "--steps"; "12"; "--out"; file; "--json" ]
              let outcome = sample folder (observed folder @ words)
              Expect.equal outcome.Code 0 (outcome.Error)
              let found = Npy.read file
              equal Dtype.Float64 found.Dtype
              equal "pigdm" ((field "steering.method" (json outcome)).GetValue<string>())
              let m = Mixture.ofJson "" mixture
              let sensor =
                  Sensor.make [ 2 ] (Observation.make (Operator.Matrix(Tensor.ofArray [ 1; 2 ] [| 1.0; 0.5 |])) 0.2)
              let target = SteeringTarget.Observed(sensor, Tensor.ofArray [ 1; 1 ] [| 0.4 |])

              let steered =
                  match Steering.pigdm.Way with
                  | Corrects make ->
                      Steering.corrected (make false target).Correct (Mixture.model Path.vp Prediction.velocity m)
                  | _ -> failwith "it corrects"

              let low, high = Path.vp.Interior

              let plan =
                  { Sampling.plan Samplers.heun 12 steered with
                      Span = { Noisy = high; Clean = low; Finish = Denoise }
                      Kind = Kind.Float64 }

              let sigma = Curve.eval Path.vp.Sigma high
              let start = sigma * Npy.read (folder.File "e.npy")

              match Sampling.run plan steered None (Noise.fresh (Rng.ofSeed 0L)) start with
              | Ok expected -> Expect.isLessThan ((Tensor.max (abs (found - expected))).ToFloat()) 1e-12 ""
              | Error failure -> failtest (string failure)

          testCase "every method without particles, from given numbers, is its equation written out"
          <| fun () ->
              use folder =
                  folderWith
                      [ line; "mask.json", """{"mask": [1, 0], "noise": 0.2}"""; "r.json", """{"linear": [1, -0.5]}""" ]

              let steps, n = 8, 4
              let start = Rng.normal Kind.Float64 [ n; 2 ] (Rng.ofSeed 1L)
              // As many as RePaint's five repeats need.
              let z = Rng.normal Kind.Float64 [ 14 * steps; n; 2 ] (Rng.ofSeed 2L)
              Npy.write (folder.File "e.npy") start
              Npy.write (folder.File "z.npy") z
              Npy.write (folder.File "full.npy") (Tensor.ofArray [ 2 ] [| 0.4; 9.0 |])
              let path, law = Path.vp, Mixture.ofJson "" mixture
              let times =
                  Sampling.times
                      (Sampling.plan Samplers.ancestral steps (Mixture.model path Prediction.velocity law))
                      path
              let a, s, y, w = [| 1.0; 0.5 |], 0.2, 0.4, [| 1.0; -0.5 |]
              let aa = 1.25

              /// V v, with the covariance of x₀ given x_t in closed form.
              let along (v: float[]) (covariance: Tensor) =
                  Tensor.squeeze 2 (Linalg.matmul covariance (Tensor.ofArray [ 2; 1 ] v))

              let inner (v: float[]) (x: Tensor) = Linalg.matmul x (Tensor.ofArray [ 2; 1 ] v)
              let row (v: float[]) = Tensor.ofArray [ 1; 2 ] v

              /// x̂ steered, and what the step is moved by.
              let look (name: string) (t: float) (x: Tensor) =
                  let struct (alpha, sigma) = Path.alphaSigma path t
                  let at = Tensor.scalar Kind.Float64 t
                  let data = Mixture.denoiser path law at x
                  let covariance = Mixture.posteriorCovariance path law at x
                  let e = y - inner a data
                  let va = along a covariance
                  let r2 = sigma * sigma / (alpha * alpha + sigma * sigma)
                  let still = Tensor.zerosLike x

                  match name with
                  | "mmps" -> data + va * e / (s * s + inner a va), still
                  | "pigdm" -> data + va * e / (r2 * aa + s * s), still
                  | "diffpir" -> data + row a * e / (aa + s * s * (alpha / sigma) ** 2.0), still
                  | "gradient" -> data + 2.0 * along w covariance, still
                  // −∇|y − a·x̂| = sign(e) Jᵀ a, J = (α/σ²) V, and α² + σ² = 1.
                  | "dps" -> data, e / abs e * (alpha / (sigma * sigma)) * va
                  | _ -> data, still

              let moved (t: float, until: float) (x: Tensor) (data: Tensor) (z: Tensor) =
                  let struct (alpha, sigma) = Path.alphaSigma path t
                  let struct (alpha', sigma') = Path.alphaSigma path until
                  let up = alpha / alpha'
                  let forward = sigma * sigma - up * up * sigma' * sigma'

                  up * sigma' * sigma' / (sigma * sigma) * x
                  + alpha' * forward / (sigma * sigma) * data
                  + sqrt forward * sigma' / sigma * z

              let draw k = Tensor.select 0 k z

              let written (name: string) =
                  let repeats =
                      match name with
                      | "repaint" -> 5
                      | "replacement" -> 1
                      | _ -> 0

                  let step (x: Tensor) (k: int) =
                      let t, until = times[k], times[k + 1]
                      let once x z = let data, push = look name t x in moved (t, until) x data z + push

                      if repeats = 0 then
                          once x (draw k)
                      else
                          let struct (alpha, sigma) = Path.alphaSigma path t
                          let struct (alpha', sigma') = Path.alphaSigma path until
                          let first = k * (3 * repeats - 1)

                          let rec go j x =
                              let next = once x (draw (first + 3 * j))
                              let left = sqrt (sigma' * sigma' - (alpha' * s) ** 2.0 |> max 0.0)
                              let known = alpha' * y + left * draw (first + 3 * j + 1)
                              let next = Tensor.cat 1 [ Tensor.narrow 1 0 1 known; Tensor.narrow 1 1 1 next ]

                              if j = repeats - 1 then
                                  next
                              else
                                  let up = alpha / alpha'
                                  let back = sqrt (sigma * sigma - up * up * sigma' * sigma')
                                  go (j + 1) (up * next + back * draw (first + 3 * j + 2))

                          go 0 x

                  let last = times.Length - 1
                  let struct (_, sigma) = Path.alphaSigma path times[0]
                  Seq.fold step (sigma * start) [ 0 .. last - 1 ] |> look name times[last] |> fst

              let given (name: string) =
                  match name with
                  | "gradient" -> [ "--reward"; folder.File "r.json"; "--tilt"; "2" ]
                  | "repaint"
                  | "replacement" -> [ "--observe"; folder.File "mask.json"; "--observed"; folder.File "full.npy" ]
                  | _ -> observed folder

              let all = Steering.all |> List.filter (fun method -> method.Particles = 0) |> List.map _.Name
              equal 7 all.Length

              for name in all do
                  let file = folder.File "x.npy"

                  let outcome =
                      sample
                          folder
                          (given name
                           @ [ "--steer"; name; "--solver"; "ancestral"; "--steps"; string steps; "--quiet" ]
                           @ [ "--noise"; folder.File "e.npy"; "--replay"; folder.File "z.npy"; "--out"; file ])

                  Expect.equal outcome.Code 0 outcome.Error
                  let found = Npy.read file
                  equal Dtype.Float64 found.Dtype
                  Expect.isLessThan ((Tensor.max (abs (found - written name))).ToFloat()) 1e-9 name

          testCase "the exact posterior is sampled by any solver, and a page shows steered samples beside it"
          <| fun () ->
              use folder = folderWith [ line ]
              let file = folder.File "x.npy"
              let exact =
                  sample
                      folder
                      (observed folder @ [ "--exact"; "--steps"; "40"; "-n"; "2000"; "--out"; file; "--quiet" ])
              Expect.equal exact.Code 0 (exact.Error)
              let law =
                  (Conditioning.observed
                      (Tensor.ofArray [ 1; 2 ] [| 1.0; 0.5 |])
                      0.2
                      (Tensor.ofArray [ 1 ] [| 0.4 |])
                      (Mixture.ofJson "" mixture))
                      .Law
              let apart = Tensor.toFloats (Tensor.meanOver [ 0 ] (Npy.read file) - Mixture.mean law)
              // Standard deviations up to 1.2, 2,000 samples: four standard errors.
              Expect.isLessThan (abs apart[0] + abs apart[1]) 0.2 ""

              let page = folder.File "page.html"
              let words = [ "--steer"; "tds"; "--particles"; "8"; "-n"; "20"; "--steps"; "10"; "--out"; page ]
              let outcome = sample folder (observed folder @ words)
              Expect.equal outcome.Code 0 (outcome.Error)
              let html = File.ReadAllText page

              for words in [ "Effective sample size"; "log p(y)"; "exact" ] do
                  Expect.stringContains html words ""

          testCase "a reward tilts"
          <| fun () ->
              use folder =
                  folderWith [ "r.json", """{"linear": [1, 0]}"""; "c.json", """{"class": 1, "classifier": "exact"}""" ]
              let file = folder.File "x.npy"
              let common = [ "-n"; "400"; "--steps"; "30"; "--out"; file; "--quiet" ]

              for words in
                  [ [ "r.json"; "--tilt"; "2" ]
                    [ "r.json"; "--tilt"; "2"; "--steer"; "fk-difference"; "--particles"; "16" ]
                    [ "c.json" ] ] do
                  let outcome = sample folder ([ "--reward"; folder.File words.Head ] @ words.Tail @ common)
                  Expect.equal outcome.Code 0 (outcome.Error)
                  // The mean of x₁ is −0.29 without.
                  Expect.isGreaterThan
                      ((Tensor.mean (Tensor.select 1 0 (Npy.read file))).ToFloat())
                      0.3
                      (String.Join(" ", words))

          testCase "an observation and a reward together have the exact law of both"
          <| fun () ->
              use folder = folderWith [ line; "r.json", """{"linear": [0, 1]}""" ]
              let file = folder.File "x.npy"
              let both = observed folder @ [ "--reward"; folder.File "r.json"; "--tilt"; "3" ]

              let mean words =
                  let outcome =
                      sample folder (both @ [ "-n"; "400"; "--steps"; "40"; "--out"; file; "--quiet" ] @ words)
                  Expect.equal outcome.Code 0 outcome.Error
                  let x = Npy.read file
                  // What is observed, and what is rewarded.
                  let at k = (Tensor.mean (Tensor.select 1 k x)).ToFloat()
                  at 0 + 0.5 * at 1, at 1

              let law = Mixture.read (folder.File "mixture.json")
              let row = Tensor.ofArray [ 1; 2 ] [| 1.0; 0.5 |]
              let seen = (Conditioning.observed row 0.2 (Tensor.ofArray [ 1 ] [| 0.4 |]) law).Law
              let w = Tensor.ofArray [ 2 ] [| 0.0; 1.0 |]
              let truth = Mixture.mean (Conditioning.tilted 3.0 w None seen).Law |> Tensor.toFloats

              for words, tolerance in [ [ "--exact" ], 0.1; [ "--steer"; "tds"; "--particles"; "32" ], 0.15 ] do
                  let seen, rewarded = mean words
                  let what = String.Join(" ", words)
                  Expect.within tolerance seen (truth[0] + 0.5 * truth[1]) what
                  Expect.within tolerance rewarded (truth[1]) what

              // The others are approximations, or want many particles; each says how it did with both.
              for name in [ "mmps"; "pigdm"; "gradient"; "fk-difference" ] do
                  let outcome =
                      sample folder (both @ [ "--steer"; name; "-n"; "8"; "--steps"; "8"; "--out"; file; "--json" ])
                  Expect.equal outcome.Code 0 outcome.Error
                  let number (what: string) = (field ("steering." + what) (json outcome)).GetValue<float>()
                  Expect.isTrue (Double.IsFinite(number "misfit") && Double.IsFinite(number "reward")) name

          testCase "what does not fit is one line that names the option or the file"
          <| fun () ->
              use folder =
                  folderWith
                      [ line
                        "mask.json", """{"mask": [1, 0, 1], "noise": 0.1}"""
                        "two.json", """{"average": 2, "blur": 1, "noise": 0.1}"""
                        "none.json", """{"average": 2}"""
                        "odd.json", """{"averige": 2, "noise": 0.1}"""
                        "exact.json", """{"matrix": [[1, 0.5]], "noise": 0}"""
                        "r.json", """{"quadratic": [[1, 2], [3, 4]]}"""
                        "r2.json", """{"linear": [1, 0]}"""
                        "r3.json", """{"linear": [1, 2, 3]}""" ]

              let file = folder.File
              Npy.write (file "nan.npy") (Tensor.ofArray [ 1 ] [| nan |])
              Npy.write (file "long.npy") (Tensor.ofArray [ 3 ] [| 1.0; 2.0; 3.0 |])
              let observe name = [ "--observe"; file name; "--observed"; file "y.npy" ]

              for words, expected in
                  [ observe "mask.json", [ "--observe"; "the mask is [3]"; "[2]" ]
                    observe "two.json", [ "two.json"; "several things" ]
                    observe "none.json", [ "none.json"; "noise" ]
                    observe "odd.json", [ "odd.json"; "averige" ]
                    [ "--observe"; file "o.json"; "--observed"; file "nan.npy" ], [ "--observed"; "nan.npy"; "NaN" ]
                    [ "--observe"; file "o.json"; "--observed"; file "long.npy" ],
                    [ "--observed"; "long.npy"; "[3]"; "[1]" ]
                    [ "--observe"; file "o.json" ], [ "--observe"; "--observed" ]
                    observe "o.json" @ [ "--particles"; "0" ], [ "--particles 0"; "at least 1" ]
                    observe "exact.json" @ [ "--steer"; "tds" ], [ "--particles"; "variance of the noise" ]
                    observe "o.json" @ [ "--steer"; "mmmps" ], [ "--steer"; "did you mean mmps" ]
                    observe "o.json" @ [ "--steer"; "repaint" ], [ "--steer repaint"; "mask or coordinates" ]
                    observe "o.json" @ [ "--steer"; "tds"; "--solver"; "heun" ], [ "--solver heun"; "ancestral" ]
                    observe "o.json" @ [ "--steer"; "tds"; "--rtol"; "1e-3" ], [ "--solver"; "dormand-prince" ]
                    observe "o.json" @ [ "--steer"; "tds"; "--trajectory"; file "t.npz" ],
                    [ "--trajectory"; "particles" ]
                    [ "--reward"; file "r.json" ], [ "r.json"; "symmetric" ]
                    [ "--reward"; file "r3.json" ], [ "--reward"; "3 numbers" ]
                    observe "o.json" @ [ "--reward"; file "r2.json"; "--steer"; "dps" ],
                    [ "--steer dps"; "reward together"; "tds" ]
                    observe "exact.json" @ [ "--reward"; file "r2.json"; "--steer"; "gradient" ],
                    [ "--steer"; "variance of its noise" ]
                    [ "--tilt"; "2" ], [ "--tilt 2"; "--reward" ] ] do
                  assertRefused (sample folder (words @ [ "-n"; "4"; "--out"; file "x.npy" ])) expected

          testCase "empty cells are filled in, and the others stay as they are"
          <| fun () ->
              use folder = folderWith [ "rows.csv", "height,width\n0.5,\nNA,1.25\n-1,0.125\n,\n" ]
              let out = folder.File "filled.csv"
              let outcome = impute folder [ "--data"; folder.File "rows.csv"; "-n"; "3"; "--out"; out; "--json" ]
              Expect.equal outcome.Code 0 (outcome.Error)
              equal 4.0 ((field "empty" (json outcome)).GetValue<float>())
              let lines = File.ReadAllLines out
              equal "row,draw,height,width" (lines[0])
              equal 13 lines.Length
              let cells = lines[1..] |> Array.map (fun line -> line.Split ',')

              for k in 0..2 do
                  equal [| "1"; string (k + 1); "0.5" |] (Array.take 3 (cells[k]))
                  equal "1.25" (cells[3 + k][3])
                  equal [| "3"; string (k + 1); "-1"; "0.125" |] (cells[6 + k])

              for row in cells do
                  Expect.all
                      row
                      (fun cell -> Double.IsFinite(Double.Parse(cell, Globalization.CultureInfo.InvariantCulture)))
                      ""

              Expect.hasLength (Array.distinct cells) 12 ""
              // The file may stand without its option, where no other option has it.
              let again =
                  impute folder [ "-n"; "3"; "--out"; folder.File "again.csv"; "--quiet"; folder.File "rows.csv" ]
              Expect.equal again.Code 0 (again.Error)
              equal (File.ReadAllText out) (File.ReadAllText(folder.File "again.csv"))

          testCase "what is filled in is of the law that the rest of the row leaves"
          <| fun () ->
              // One Gaussian with correlated coordinates: x₂ given x₁ = 1 is N(0.8, 0.36).
              use folder =
                  folderWith
                      [ "mixture.json", """{"means": [[0, 0]], "covariances": [[[1, 0.8], [0.8, 1]]]}"""
                        "rows.csv", "1,\n" ]

              let out = folder.File "filled.csv"
              let words = [ "--data"; folder.File "rows.csv"; "-n"; "400"; "--steps"; "25"; "--out"; out; "--quiet" ]
              let outcome = fokker ([ "impute"; "--oracle"; folder.File "mixture.json"; "--path"; "vp" ] @ words)
              Expect.equal outcome.Code 0 (outcome.Error)

              let values =
                  File.ReadAllLines out
                  |> Array.map (fun line ->
                      Double.Parse((line.Split ',')[3], Globalization.CultureInfo.InvariantCulture))

              let mean = Array.average values
              let deviation = Math.Sqrt(values |> Array.averageBy (fun v -> (v - mean) * (v - mean)))
              // Four standard errors, and the solver's own bias.
              Expect.within 0.14 mean 0.8 ""
              Expect.within 0.1 deviation 0.6 ""

          testCase "rows that cannot be completed are refused in a line"
          <| fun () ->
              use folder = folderWith [ "rows.csv", "1,\n"; "three.csv", "1,,2\n"; "words.csv", "1,two\n" ]
              let file = folder.File
              let out = [ "--out"; file "filled.csv" ]

              for words, expected in
                  [ out, [ "--data" ]
                    [ "--data"; file "rows.csv"; "-n"; "0" ] @ out, [ "-n 0"; "at least 1" ]
                    [ "--data"; file "rows.csv"; "--out"; file "filled.npy" ], [ "--out"; ".csv" ]
                    [ "--data"; file "three.csv" ] @ out, [ "three.csv"; "[1; 3]"; "[n; 2]" ]
                    [ "--data"; file "words.csv" ] @ out, [ "words.csv"; "line 1, column 2"; "two" ]
                    [ "--data"; file "none.csv" ] @ out, [ "none.csv" ]
                    [ "--data"; file "rows.csv"; "--steer"; "gradient" ] @ out, [ "--steer gradient"; "mmps" ] ] do
                  assertRefused (impute folder words) expected
                  Expect.isFalse (File.Exists(file "filled.csv")) ""

          testCase "a trained network is steered by every method, in the data's units"
          <| fun () ->
              use folder =
                  folderWith
                      [ "average.json", """{"average": 2, "noise": 4}"""
                        "mask.json", """{"mask": "mask.npy", "noise": 4}"""
                        "r.json", $"""{{"linear": [{String.Join(", ", Array.create 64 0.05)}]}}""" ]

              images (folder.File "x.idx")
              let train =
                  [ "train"; "idx:" + folder.File "x.idx"; "--name"; "run"; "--runs"; folder.File "runs" ] @ small
              let trained = fokker train
              Expect.equal trained.Code 0 (trained.Error)
              Npy.write (folder.File "blocks.npy") (Tensor.full Kind.Float64 [ 1; 4; 4 ] 200.0)
              Npy.write (folder.File "pixels.npy") (Tensor.full Kind.Float64 [ 1; 8; 8 ] 200.0)
              Npy.write (folder.File "mask.npy") (Tensor.ofArray [ 8; 8 ] (Array.init 64 (fun i -> float (i / 32))))
              let out = folder.File "x.npy"
              let drawn (out: string) (words: string list) =
                  fokker (
                      [ "sample"
                        "run"
                        "--runs"
                        folder.File "runs"
                        "-n"
                        "3"
                        "--steps"
                        "6"
                        "--out"
                        out
                        "--json" ]
                      @ words
                  )

              let averages = [ "--observe"; folder.File "average.json"; "--observed"; folder.File "blocks.npy" ]
              let pixels = [ "--observe"; folder.File "mask.json"; "--observed"; folder.File "pixels.npy" ]

              for method in Steering.all do
                  let seen =
                      if method.SeenOnly then pixels
                      elif method.TakesObservations then averages
                      else [ "--reward"; folder.File "r.json" ]
                  let few = if method.Particles > 0 then [ "--particles"; "3" ] else []
                  let outcome = drawn out (seen @ few @ [ "--steer"; method.Name ])
                  Expect.equal outcome.Code 0 (method.Name + ": " + outcome.Error)
                  equal Dtype.UInt8 (Npy.read out).Dtype

              // The samples explain what was seen, whatever the network has learned.
              let outcome = drawn out (averages @ [ "--steer"; "mmps"; "--solver"; "ddim" ])
              Expect.isLessThan ((field "steering.misfit" (json outcome)).GetValue<float>()) 20.0 ""

              let page = folder.File "page.html"
              let outcome = drawn page averages
              Expect.equal outcome.Code 0 (outcome.Error)
              let html = File.ReadAllText page

              for words in [ "Observation and posterior"; "observed"; "standard deviation" ] do
                  Expect.stringContains html words "" ]
