module Fokker.Tests.Sampling.GridTests

open System
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Theory.Expect

let private f64 = Kind.Float64

/// The whole of [0, 1] and the path's interior.
let private spans (path: GaussianPath) =
    let low, high = path.Interior
    [ (1.0, 0.0); (high, low); (0.5, 0.25) ]

let private grids = Grid.all |> List.map (fun g -> g.Name)
let private gridOf name = Grid.all |> List.find (fun g -> g.Name = name)

let private isDiscrete (grid: Grid) = List.contains grid.Name [ "leading"; "trailing"; "linspace" ]

let private numbers (times: float[]) = times |> Array.map (fun t -> int (Math.Round(1000.0 * t)))

let private same (what: string) (expected: float[]) (found: float[]) =
    holds (expected.Length = found.Length) $"{what}: {found.Length} times, {expected.Length} expected"
    Array.iter2 (fun a b -> close (1e-12 * Math.Max(1.0, abs a)) a b what) expected found

[<Tests>]
let tests =
    testList
        "Sampling.Grid"
        [ testTheory "times fall strictly from one end to the other for any number of steps" grids
          <| fun (name: string) ->
              let grid = gridOf name

              for path in Paths.all do
                  for noisy, clean in spans path do
                      for n in [ 1..8 ] @ [ 50; (if isDiscrete grid then 249 else 1000) ] do
                          let times = Grid.times grid path (noisy, clean) n
                          holds (times.Length = n + 1 && times[n] = clean) $"{path.Name}: ends of {n} steps"
                          holds
                              (times[0] = noisy || isDiscrete grid && times[0] <= noisy)
                              $"{path.Name}: beginning of {n} steps"
                          holds
                              (times |> Array.pairwise |> Array.forall (fun (a, b) -> a > b))
                              $"{path.Name}: {n} steps fall"
                          // Where the last step denoises it takes no time: one time fewer.
                          let denoised = Grid.timesOf grid path { Noisy = noisy; Clean = clean; Finish = Denoise } n
                          holds (denoised.Length = n) $"{path.Name}: {n} evaluations"
                          holds
                              (denoised |> Array.pairwise |> Array.forall (fun (a, b) -> a > b))
                              $"{path.Name}: {n} fall"

          testTheory "every number of steps from 1 to 1000 on the straight path" grids
          <| fun (name: string) ->
              for n in 1..1000 do
                  for span in [ (1.0, 0.0); Path.condOT.Interior |> fun (low, high) -> high, low ] do
                      if isDiscrete (gridOf name) && n > 998 && span <> (1.0, 0.0) then
                          raises<ArgumentException, _>(fun () -> Grid.times (gridOf name) Path.condOT span n)
                          |> names [ "998 of 1000"; "fewer" ]
                      else
                          let times = Grid.times (gridOf name) Path.condOT span n
                          holds (times |> Array.pairwise |> Array.forall (fun (a, b) -> a > b)) $"{n} steps"

          // The spacings of a thousand steps by ten, as Lin et al. 2024 list them (table 2; their steps are numbered from 1).
          testCase "discrete spacings are those of the paper"
          <| fun () ->
              let steps grid =
                  Grid.times grid Paths.ddpm (1.0, 0.0) 10
                  |> Array.map (fun t -> int (Math.Round(1000.0 * t)))
                  |> List.ofArray

              holds (steps Grid.leading = [ 901; 801; 701; 601; 501; 401; 301; 201; 101; 1; 0 ]) "leading"
              holds (steps Grid.linspace = [ 1000; 889; 778; 667; 556; 445; 334; 223; 112; 1; 0 ]) "linspace"
              holds (steps Grid.trailing = [ 1000; 900; 800; 700; 600; 500; 400; 300; 200; 100; 0 ]) "trailing"

          // The times that a span leaves are those of the equation: its end does not move the others.
          testCase "a discrete spacing keeps its equation in a span that ends early"
          <| fun () ->
              let steps grid span n = numbers (Grid.times grid Paths.ddpm span n) |> List.ofArray
              holds (steps Grid.trailing (1.0, 0.001) 10 = [ for k in 10..-1..1 -> 100 * k ] @ [ 1 ]) "trailing"
              holds
                  (steps Grid.leading (1.0, 0.001) 9 = [ for k in 9..-1..1 -> 1 + 100 * k ] @ [ 1 ])
                  "leading: ten, without the last"
              holds (steps Grid.trailing (1.0, 0.5) 5 = [ 1000; 900; 800; 700; 600; 500 ]) "half of ten"
              holds (steps Grid.trailing (0.5, 0.0) 5 = [ 500; 400; 300; 200; 100; 0 ]) "from the middle"

              let equations: (Grid * (int -> int -> Set<int>)) list =
                  [ Grid.leading, (fun m n -> set [ for k in 0 .. n - 1 -> 1 + k * (m / n) ])
                    Grid.trailing,
                    (fun m n ->
                        let second = float m - float m / float n
                        set [ for k in 0 .. n - 1 -> int (Math.Round(float m + float k * (second - float m))) ])
                    Grid.linspace,
                    (fun m n ->
                        set
                            [ for k in 0 .. n - 1 ->
                                  1 + int (Math.Round(float k * (float (m - 1) / float (max 1 (n - 1))))) ]) ]

              for grid, equation in equations do
                  for noisy, clean in [ 1.0, 0.001; 1.0, 0.25; 0.5, 0.25; 0.7, 0.03 ] do
                      let most, end' = int (1000.0 * noisy), int (Math.Round(1000.0 * clean))

                      for n in [ 1..40 ] @ [ 100; 200; 250 ] do
                          if n <= most - end' && (n > 1 || grid.Name <> "linspace") then
                              let times = numbers (Grid.times grid Paths.ddpm (noisy, clean) n)
                              let found = set times[.. n - 1]
                              let whole =
                                  [ n..1000 ]
                                  |> List.exists (fun n -> Set.filter (fun k -> k > end') (equation most n) = found)
                              holds whole $"{grid.Name}, {n} steps from {noisy} to {clean}: {List.ofSeq found}"

          // numpy's arange and linspace as diffusers rounds them, whose steps are numbered from 0: halves go to the even number of these.
          testCase "halves are rounded as in diffusers"
          <| fun () ->
              let steps grid n = numbers (Grid.times grid Paths.ddpm (1.0, 0.0) n)
              // np.linspace(0, 999, 25).round() has 500 for 499.5, and np.round(np.arange(1000, 0, -1000/16)) 938 and 812 for 937.5 and 812.5.
              holds ((steps Grid.linspace 25)[12] = 501) "linspace of 25"
              holds
                  (Array.contains 938 (steps Grid.trailing 16) && Array.contains 812 (steps Grid.trailing 16))
                  "trailing of 16"

              for n in 2..999 do
                  let places =
                      [| for i in n - 1 .. -1 .. 0 -> 1 + int (Math.Round(float i * (999.0 / float (n - 1)))) |]
                  holds ((steps Grid.linspace n)[.. n - 1] = places) $"linspace of {n}"

          // Every grid that has a name, in eight steps, by its formula written out for a path on which it is easy. One that has none fails.
          testCase "no grid is without its closed form"
          <| fun () ->
              let n = 8
              let u = [| for k in 0..n -> float k / float n |]
              let whole = 1.0, 0.0
              // ς = 0.01 · 5000^t.
              let onVe (sigma: float) = Math.Log(sigma / 0.01) / Math.Log 5000.0
              let warp (high: float) (low: float) (u: float) =
                  (high ** (1.0 / 7.0) + u * (low ** (1.0 / 7.0) - high ** (1.0 / 7.0))) ** 7.0

              let forms: Map<string, GaussianPath * float[]> =
                  Map
                      [ "uniform", (Path.condOT, u |> Array.map (fun u -> 1.0 - u))
                        "lambda", (Paths.ve, u |> Array.map (fun u -> 1.0 - u))
                        "karras", (Paths.ve, u |> Array.map (warp 50.0 0.01 >> onVe))
                        "edm-flow",
                        (Path.condOT,
                         [| 1.0
                            // The lowest level is a time of its own, and then come the data.
                            for k in 1 .. n - 1 do
                                let sigma = warp 80.0 0.002 (float k / float (n - 1))
                                sigma / (1.0 + sigma)
                            0.0 |])
                        "quadratic", (Path.condOT, u |> Array.map (fun u -> (1.0 - u) ** 2.0))
                        "cosine", (Path.condOT, u |> Array.map (fun u -> 0.5 + 0.5 * Math.Cos(Math.PI * u)))
                        "shifted", (Path.condOT, u |> Array.map (fun u -> 3.0 * (1.0 - u) / (1.0 + 2.0 * (1.0 - u))))
                        "leading", (Paths.ddpm, [| for k in n - 1 .. -1 .. 0 -> (1.0 + 125.0 * float k) / 1000.0 |])
                        "trailing", (Paths.ddpm, [| for k in n .. -1 .. 1 -> 0.125 * float k |])
                        "linspace",
                        (Paths.ddpm,
                         [| for k in n - 1 .. -1 .. 0 -> (1.0 + Math.Round(float k * 999.0 / 7.0)) / 1000.0 |]) ]

              for grid in Grid.all do
                  match Map.tryFind grid.Name forms with
                  | None -> failtest $"the grid {grid.Name} has no closed form that it is held to"
                  | Some(path, expected) ->
                      let found = Grid.times grid path whole n
                      same grid.Name expected (if expected.Length = n then found[.. n - 1] else found)

          testCase "a spacing between two levels is a schedule with a last 0"
          <| fun () ->
              let path = Paths.edm
              let grid = Grid.betweenLevels (Some 0.03) (Some 15.0) (Grid.karrasWith 5.0)

              // k-diffusion's get_sigmas_karras(6, 0.03, 15, rho = 5).
              let levels = [| for k in 0..5 -> (15.0 ** 0.2 + float k / 5.0 * (0.03 ** 0.2 - 15.0 ** 0.2)) ** 5.0 |]

              let span finish = { Noisy = 1.0; Clean = 0.0; Finish = finish }
              let sigma = Array.map (Curve.eval path.Sigma)
              same "denoising" levels (sigma (Grid.timesOf grid path (span Denoise) 6))
              let stopping = Grid.timesOf grid path (span Stop) 6
              same "stopping" levels (sigma stopping[..5])
              holds (stopping.Length = 7 && stopping[6] = 0.0) "the end"
              // Levels beyond the span are the span's.
              same
                  "wide"
                  (Grid.times Grid.lambda path (1.0, 0.0) 5)
                  (Grid.times (Grid.betweenLevels (Some 1e-5) (Some 1e5) Grid.lambda) path (1.0, 0.0) 5)

          testCase "grids of given times, levels and timesteps"
          <| fun () ->
              let model =
                  Mixture.model
                      Path.vp
                      Prediction.noise
                      (Mixture.ofStds [| 1.0 |] (Tensor.zeros f64 [ 1; 2 ]) (Tensor.ones f64 [ 1; 2 ]))
              let plan = Sampling.plan Samplers.ddim 3 model
              let on grid = Sampling.onGrid grid model.Path plan
              let times (grid: Grid) = Sampling.times (on grid) model.Path

              let levels = Grid.ofLevels "mine" "" [ 14.6; 3.0; 0.4; 0.0 ]
              holds ((on levels).Steps = 3 && (on levels).Span.Finish = Denoise) $"{(on levels).Span}"
              same
                  "levels"
                  [| 14.6; 3.0; 0.4 |]
                  (times levels |> Array.map (fun t -> Math.Exp(-(Curve.eval model.Path.Lambda t))))

              let stopping = Grid.ofLevels "mine" "" [ 14.6; 3.0; 0.4 ]
              holds ((on stopping).Steps = 2 && (on stopping).Span.Finish = Stop) "levels that end above 0"
              same "times" [| 0.9; 0.5; 0.25 |] (times (Grid.ofTimes "mine" "" [ 0.9; 0.5; 0.25 ]))
              let steps = Grid.ofTimesteps 1000 "mine" "" [ 999.0; 749.0; 249.0; 3.5 ]
              holds ((on steps).Steps = 4) "four steps"
              same "timesteps" [| 1.0; 0.75; 0.25; 0.0045 |] (times steps)

              // A flow that goes to the very end does so.
              let flow =
                  Mixture.model
                      Path.condOT
                      Prediction.velocity
                      (Mixture.ofStds [| 1.0 |] (Tensor.zeros f64 [ 1; 2 ]) (Tensor.ones f64 [ 1; 2 ]))
              let whole =
                  Sampling.onGrid
                      (Grid.ofTimes "mine" "" [ 1.0; 0.4; 0.0 ])
                      Path.condOT
                      (Sampling.plan Samplers.heun 9 flow)
              holds (whole.Steps = 2 && whole.Span = { Noisy = 1.0; Clean = 0.0; Finish = Stop }) $"{whole.Span}"

              for make, what in
                  [ (fun () -> Grid.ofLevels "mine" "" [ 1.0; 1.0 ]), [ "mine"; "fall" ]
                    (fun () -> Grid.ofTimes "mine" "" [ 1.5; 0.0 ]), [ "1.5" ]
                    (fun () -> Grid.ofTimesteps 1000 "mine" "" [ 1000.0 ]), [ "1000"; "999" ] ] do
                  raises<ArgumentException, _> make |> names what

              raises<ArgumentException, _>(fun () -> times (Grid.ofLevels "mine" "" [ 1e9; 1.0 ]))
              |> names [ "1000000000"; "vp" ]

          // A grid of a table's own number of steps is the table; equal shares of a constant density are equal steps.
          testCase "grids are values: tables of λ and densities of steps"
          <| fun () ->
              let path = Paths.ve
              let noisy, clean = 1.0, 0.0
              let even = Grid.times Grid.lambda path (noisy, clean) 12
              let table = even |> Array.map (Curve.eval path.Lambda) |> List.ofArray
              let close' what a b = Array.iter2 (fun x y -> close 1e-9 x y what) a b
              close' "table" even (Grid.times (Grid.ofLambdas "table" "" table) path (noisy, clean) 12)
              close' "even" even (Grid.times (Grid.equidistributing "even" "" (fun _ -> 1.0)) path (noisy, clean) 12)
              // e^{−λ/7} dλ in equal shares: Karras's grid.
              let karras = Grid.equidistributing "karras" "" (fun l -> Math.Exp(-l / 7.0))
              let wanted = Grid.times Grid.karras path (noisy, clean) 12
              Array.iter2 (fun x y -> close 2e-6 x y "density") wanted (Grid.times karras path (noisy, clean) 12)
              raises<ArgumentException, _>(fun () -> Grid.ofLambdas "bad" "" [ 1.0; 1.0 ])
              |> names [ "bad"; "rise" ]

          testCase "the λ grid is even in λ and Karras's in ς to the power 1/ρ"
          <| fun () ->
              for path in Paths.all do
                  let low, high = path.Interior

                  let spread (h: float -> float) grid =
                      let steps =
                          Grid.times grid path (high, low) 25
                          |> Array.filter (fun t -> Double.IsFinite(Curve.eval path.Lambda t))
                          |> Array.map (fun t -> h (Curve.eval path.Lambda t))
                          |> Array.pairwise
                          |> Array.map (fun (a, b) -> b - a)
                      // Where λ is infinite at 0 the last inner step ends there and is not looked at.
                      let steps =
                          if Double.IsFinite(Curve.eval path.Lambda low) then steps else steps[.. steps.Length - 2]
                      (Array.max steps - Array.min steps) / abs (Array.average steps)
                  // Times are floats: near t = 1 one unit in the last place of t is 1e-16/(1 − t) in λ.
                  close 1e-9 0.0 (spread id Grid.lambda) $"λ on {path.Name}"
                  close 1e-9 0.0 (spread (fun l -> Math.Exp(-l / 7.0)) Grid.karras) $"Karras on {path.Name}"

          testCase "EDM's path is Karras's warp, so that its even steps are Karras's grid"
          <| fun () ->
              let even = Grid.times Grid.uniform Paths.edm (1.0, 0.0) 18
              let karras = Grid.times Grid.karras Paths.edm (1.0, 0.0) 18
              Array.iter2 (fun a b -> close 1e-12 a b "time") even karras

              // The paper's own formula (eq. 5) for σ.
              for k in 0..18 do
                  let root = 80.0 ** (1.0 / 7.0) + float k / 18.0 * (0.002 ** (1.0 / 7.0) - 80.0 ** (1.0 / 7.0))
                  let sigma = root ** 7.0
                  close (1e-11 * sigma) sigma (Curve.eval Paths.edm.Sigma karras[k]) "σ"

          testCase "steps and spans that make no grid are refused"
          <| fun () ->
              let times span n () = Grid.times Grid.uniform Path.condOT span n
              raises<ArgumentException, _>(times (1.0, 0.0) 0) |> names [ "0 steps" ]
              raises<ArgumentException, _>(times (0.2, 0.4) 5) |> names [ "0.2"; "0.4" ]
              raises<ArgumentException, _>(times (1.5, 0.0) 5) |> names [ "1.5" ]
              raises<ArgumentException, _>(times (nan, 0.0) 5) |> names [ "NaN" ]
              raises<ArgumentException, _>(times (0.5, Math.BitDecrement(Math.BitDecrement 0.5)) 50)
              |> names [ "do not decrease"; "fewer steps" ]

          // α = cos(πt/2) is 0 at the end, and σ at the beginning: a path of two curves finds out by itself that both ends are outside.
          testCase "a path of curves that vanish has grids in λ"
          <| fun () ->
              let path = Path.ofCurves "half-cosine" "" "" (cos (0.5 * Math.PI * Curve.time)) Curve.time
              holds (path.Interior = (1e-3, 1.0 - 1e-3)) $"{path.Interior}"
              let bounded = Path.ofCurves "bounded" "" "" (1.0 - 0.9 * Curve.time) (0.1 + Curve.time)
              holds (bounded.Interior = (0.0, 1.0)) $"{bounded.Interior}"

              for grid in [ Grid.lambda; Grid.karras ] do
                  let times = Grid.times grid path (1.0, 0.0) 10
                  let lambdas = times[1..9] |> Array.map (Curve.eval path.Lambda)
                  holds (Array.forall Double.IsFinite lambdas) $"{grid.Name}: {List.ofArray lambdas}"
                  holds
                      (times |> Array.pairwise |> Array.forall (fun (a, b) -> a > b))
                      $"{grid.Name}: {List.ofArray times}" ]
