namespace Fokker

open System

/// A law on the plane with its first two moments in closed form.
[<NoComparison; NoEquality>]
type PlaneLaw =
    {
        Name: string
        Summary: string
        Reference: string
        /// n independent draws, float64 [n; 2]; row i depends on the key and on i only.
        Draw: Rng -> int -> Tensor
        /// E[x].
        Mean: float[]
        /// Variances of the two coordinates.
        Variance: float[]
        /// log p, [n; 2] ↦ [n] float64 in nats, where it is known.
        LogDensity: (Tensor -> Tensor) option
    }

/// The laws on which papers draw their first picture. Names, shapes and scales are those of FFJORD's toy data
/// (Grathwohl et al. 2019), which the flow literature has kept: all of them fit into [−5, 5]². Where that code spaces
/// points evenly along a curve, or deals exactly as many to every component, these are independent draws.
[<RequireQualifiedAccess>]
module Plane =

    let private reference = "Grathwohl et al. 2019, FFJORD, toy data"

    // [n; k] uniforms, one column for each use; their rows are the samples.
    let private uniforms (rng: Rng) (n: int) (k: int) =
        Tensor.unbind 1 (Rng.uniform Kind.Float64 [ n; k ] (Rng.named "uniform" rng))

    let private gaussian (rng: Rng) (n: int) (deviation: float) =
        Rng.normal Kind.Float64 [ n; 2 ] (Rng.named "noise" rng) * deviation

    let private points (x: Tensor) (y: Tensor) = Tensor.stack 1 [ x; y ]

    /// u ~ U[0, 1) as one of k equally likely indices 0 … k − 1.
    let private index (k: int) (u: Tensor) = floor (u * float k)

    /// The law of a point of a curve, whose parameter is uniform, and isotropic noise: log of the mean of N(x; c, s²) over points c of the curve. So many
    /// points in the middles of equal cells that they stand much closer than s, where the rule's error is far below a nat's millionth.
    let private alongCurve (points: (float * float) list) (deviation: float) : Tensor -> Tensor =
        let centres =
            lazy
                [| for x, y in points do
                       yield x
                       yield y |]

        let constant = Math.Log(float points.Length) + Math.Log(2.0 * Math.PI * deviation * deviation)

        let few (x: Tensor) =
            let squares = Wasserstein.squaredDistances x (Tensor.ofArray [ points.Length; 2 ] centres.Value)
            Tensor.logSumExp [ 1 ] (squares * (-0.5 / (deviation * deviation))) - constant

        fun x ->
            // Blocks of 2,000 rows: all distances at once could be gigabytes.
            Tensor.cat
                0
                [ for first in 0..2000 .. x.Shape[0] - 1 ->
                      Scope.run (fun () -> few (Tensor.narrow 0 first (min 2000 (x.Shape[0] - first)) x)) ]

    /// So many middles of equal cells of [from, until].
    let private middles (count: int) (from: float) (until: float) =
        [ for k in 0 .. count - 1 -> from + (float k + 0.5) / float count * (until - from) ]

    /// Two interleaved half circles.
    let moons: PlaneLaw =
        { Name = "moons"
          Summary =
            "two half circles: 2·(c, s) + (−1, −0.2) with (c, s) = (cos u, sin u) or (1 − cos u, ½ − sin u), u ~ U[0, π], and noise of 0.2"
          Reference = reference + " (scikit-learn's make_moons)"
          Draw =
            fun rng n ->
                let u = uniforms rng n 2
                let angle = u[0] * Math.PI
                let second = index 2 u[1]
                let sign = 1.0 - 2.0 * second
                let x = second + sign * cos angle
                let y = 0.5 * second + sign * sin angle
                points (2.0 * x - 1.0) (2.0 * y - 0.2) + gaussian rng n 0.2
          Mean = [| 0.0; 0.3 |]
          Variance = [| 3.04; 4.0 * (0.5725 - 1.0 / Math.PI) |]
          LogDensity =
            Some(
                alongCurve
                    [ for u in middles 500 0.0 Math.PI do
                          yield 2.0 * cos u - 1.0, 2.0 * sin u - 0.2
                          yield 2.0 * (1.0 - cos u) - 1.0, 2.0 * (0.5 - sin u) - 0.2 ]
                    0.2
            ) }

    /// Eight Gaussians on a circle.
    let eightGaussians: PlaneLaw =
        { Name = "eight-gaussians"
          Summary = "eight Gaussians of deviation 0.5/√2 = 0.354, evenly on the circle of radius 4/√2 = 2.83"
          Reference = reference
          Draw =
            fun rng n ->
                let u = uniforms rng n 1
                let angle = index 8 u[0] * (Math.PI / 4.0)
                points (cos angle) (sin angle) * (4.0 / sqrt 2.0) + gaussian rng n (0.5 / sqrt 2.0)
          Mean = [| 0.0; 0.0 |]
          Variance = [| 4.125; 4.125 |]
          LogDensity =
            Some(
                alongCurve
                    [ for k in 0..7 ->
                          let angle = float k * Math.PI / 4.0
                          cos angle * 4.0 / sqrt 2.0, sin angle * 4.0 / sqrt 2.0 ]
                    (0.5 / sqrt 2.0)
            ) }

    /// Every second square of a 4 × 4 board.
    let checkerboard: PlaneLaw =
        { Name = "checkerboard"
          Summary =
            "uniform on the eight squares of side 2 in [−4, 4]² whose column and row numbers add up to an even number"
          Reference = reference
          Draw =
            fun rng n ->
                let u = uniforms rng n 3
                let x = 4.0 * u[0] - 2.0
                let y = u[1] - 2.0 * index 2 u[2] + Tensor.modulo 2.0 (floor x)
                points x y * 2.0
          Mean = [| 0.0; 0.0 |]
          Variance = [| 16.0 / 3.0; 16.0 / 3.0 |]
          // Eight squares of area 4: −log 32 on them.
          LogDensity =
            Some(fun x ->
                let cell = floor (x / 2.0)
                let isOn = Tensor.equalTo 0.0 (Tensor.modulo 2.0 (Tensor.sumRows cell))
                let isInside = Tensor.lessThan 4.0 (Tensor.maxOver [ 1 ] (Tensor.abs x))
                let nothing = Tensor.full Kind.Float64 [] -infinity
                let on = Tensor.full Kind.Float64 [] -(Math.Log 32.0)
                Tensor.where isInside (Tensor.where isOn on nothing) nothing) }

    /// The swiss roll, seen from its side.
    let swissRoll: PlaneLaw =
        // E[s² cos² s] and E[s² sin² s] for s ~ U[3π/2, 9π/2] are (39π²/4 ∓ ½)/2; E[s cos s] = 2, E[s sin s] = 2/(3π).
        let square = 9.75 * Math.PI * Math.PI

        { Name = "swiss-roll"
          Summary = "(s cos s, s sin s)/5 with s ~ U[3π/2, 9π/2], and noise of 0.2"
          Reference = reference + " (scikit-learn's make_swiss_roll)"
          Draw =
            fun rng n ->
                let u = uniforms rng n 1
                let s = u[0] * (3.0 * Math.PI) + 1.5 * Math.PI
                points (s * cos s) (s * sin s) * 0.2 + gaussian rng n 0.2
          Mean = [| 2.0 / 5.0; 2.0 / (15.0 * Math.PI) |]
          Variance =
            [| ((square - 0.5) / 2.0 - 4.0 + 1.0) / 25.0
               ((square + 0.5) / 2.0 - 4.0 / (9.0 * Math.PI * Math.PI) + 1.0) / 25.0 |]
          LogDensity =
            Some(
                alongCurve
                    [ for s in middles 1500 (1.5 * Math.PI) (4.5 * Math.PI) -> s * cos s / 5.0, s * sin s / 5.0 ]
                    0.2
            ) }

    /// Two arms of a spiral, each the other's mirror image in the origin.
    let spirals: PlaneLaw =
        // For r = 3π√u: E[r² cos² r] = 9π²/4 + ¾, E[r² sin² r] = 9π²/4 − ¾, E[r cos r] = −4/(3π), E[r sin r] = 2 − 8/(9π²).
        let square = 9.0 * Math.PI * Math.PI

        { Name = "spirals"
          Summary = "±(−r cos r + a, r sin r + b)/3 with r = 3π√u, a and b ~ U[0, ½], and noise of 0.1"
          Reference = reference
          Draw =
            fun rng n ->
                let u = uniforms rng n 4
                let r = sqrt u[0] * (3.0 * Math.PI)
                let sign = (1.0 - 2.0 * index 2 u[1]) / 3.0
                points (sign * (0.5 * u[2] - r * cos r)) (sign * (0.5 * u[3] + r * sin r)) + gaussian rng n 0.1
          Mean = [| 0.0; 0.0 |]
          Variance =
            [| (square / 4.0 + 0.75 + 2.0 / (3.0 * Math.PI) + 1.0 / 12.0) / 9.0 + 0.01
               (square / 4.0 - 0.75 + 1.0 - 4.0 / square + 1.0 / 12.0) / 9.0 + 0.01 |]
          LogDensity = None }

    /// Five blades, sheared around the centre.
    let pinwheel: PlaneLaw =
        { Name = "pinwheel"
          Summary = "2·R(−θ) f with f ~ N((1, 0), diag(0.3², 0.1²)) and θ = 2πk/5 + e^{f₁}/4, k one of five blades"
          Reference = reference + "; Johnson et al. 2016, Structured VAE"
          Draw =
            fun rng n ->
                let noise = gaussian rng n 1.0 |> Tensor.unbind 1
                let a = 1.0 + 0.3 * noise[0]
                let b = 0.1 * noise[1]
                let u = uniforms rng n 1
                let angle = index 5 u[0] * (2.0 * Math.PI / 5.0) + 0.25 * exp a
                let c, s = cos angle, sin angle
                points (c * a + s * b) (c * b - s * a) * 2.0
          Mean = [| 0.0; 0.0 |]
          Variance = [| 2.2; 2.2 |]
          LogDensity = None }

    /// Four concentric circles.
    let rings: PlaneLaw =
        { Name = "rings"
          Summary = "four circles of radius 0.75, 1.5, 2.25 and 3 around the origin, equally likely, and noise of 0.08"
          Reference = reference
          Draw =
            fun rng n ->
                let u = uniforms rng n 2
                let angle = u[0] * (2.0 * Math.PI)
                let radius = 0.75 * (1.0 + index 4 u[1])
                points (radius * cos angle) (radius * sin angle) + gaussian rng n 0.08
          Mean = [| 0.0; 0.0 |]
          Variance = [| 2.115775; 2.115775 |]
          LogDensity =
            Some(
                alongCurve
                    [ for k in 1..4 do
                          for u in middles 500 0.0 (2.0 * Math.PI) -> 0.75 * float k * cos u, 0.75 * float k * sin u ]
                    0.08
            ) }

    /// Gaussians on a square grid, on which lost modes are counted.
    let grid: PlaneLaw =
        { Name = "grid"
          Summary = "25 Gaussians of deviation 0.05 on the points of {−4, −2, 0, 2, 4}², equally likely"
          Reference = "Srivastava et al. 2017, VEEGAN, section 5; Lin et al. 2018, PacGAN"
          Draw =
            fun rng n ->
                let u = uniforms rng n 2
                points (2.0 * index 5 u[0] - 4.0) (2.0 * index 5 u[1] - 4.0) + gaussian rng n 0.05
          Mean = [| 0.0; 0.0 |]
          Variance = [| 8.0025; 8.0025 |]
          LogDensity =
            Some(
                alongCurve
                    [ for i in -2 .. 2 do
                          for j in -2 .. 2 -> 2.0 * float i, 2.0 * float j ]
                    0.05
            ) }

    let all = [ moons; eightGaussians; checkerboard; swissRoll; spirals; pinwheel; rings; grid ]
