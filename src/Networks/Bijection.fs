namespace Fokker

open System

/// A map between data and noise with its inverse, at given parameters: x ↦ (z, log |det ∂z/∂x|) and z ↦ (x, log |det ∂x/∂z|), samples [B; …] and logarithms [B]. The
/// density of x under z ~ π is log p(x) = log π(z(x)) + log |det ∂z/∂x| (Tabak, Turner 2013; Rezende, Mohamed 2015, eq. 5–7).
[<NoComparison; NoEquality>]
type Bijection = { ToNoise: Tensor -> struct (Tensor * Tensor); ToData: Tensor -> struct (Tensor * Tensor) }

/// A part of an exact flow: a bijection for parameters and classes. It finds its own among all of the flow's parameters.
[<NoComparison; NoEquality>]
type FlowLayer =
    {
        Make: Tensor[] -> Condition -> Bijection
        /// Parameters, by their places, that the first samples it sees give it; none but for `actNorm`.
        Fit: Tensor -> (int * Tensor) list
    }

[<RequireQualifiedAccess; CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module Bijection =

    /// One after the other from the data to the noise: the logarithms add up.
    let chain (parts: Bijection list) : Bijection =
        let through (direction: Bijection -> Tensor -> struct (Tensor * Tensor)) (parts: Bijection list) (x: Tensor) =
            parts
            |> List.fold
                (fun (struct (x: Tensor, sum: Tensor)) part ->
                    let struct (y, own) = direction part x
                    struct (y, sum + own))
                (struct (x, Tensor.zeros x.Kind [ x.Shape[0] ]))

        { ToNoise = through _.ToNoise parts; ToData = through _.ToData (List.rev parts) }

    /// The same map with its ends exchanged.
    let inverse (b: Bijection) : Bijection = { ToNoise = b.ToData; ToData = b.ToNoise }

/// The parts that exact flows on vectors [B; d] are made of. Each declares its parameters when it is made.
module FlowLayer =

    let private fixedLayer make : FlowLayer = { Make = make; Fit = fun _ -> [] }

    /// One number for all samples of x.
    let private forAll (x: Tensor) (logDeterminant: Tensor) = Tensor.expand [ x.Shape[0] ] logDeterminant

    /// z = (x + b) e^s for each coordinate, begun at what gives the first samples mean 0 and variance 1 (Kingma, Dhariwal 2018, Glow, section 3.1).
    let actNorm (b: Blueprint) (dimension: int) : FlowLayer =
        let shift = b.Parameter("shift", [ dimension ], Initializer.Zeros)
        let scale = b.Parameter("scale", [ dimension ], Initializer.Zeros)

        { Make =
            fun p _ ->
                { ToNoise = fun x -> struct ((x + p[shift]) * Tensor.exp p[scale], forAll x (Tensor.sum p[scale]))
                  ToData = fun z -> struct (z * Tensor.exp -p[scale] - p[shift], forAll z (-(Tensor.sum p[scale]))) }
          Fit =
            fun x ->
                // A coordinate that hardly varies must not be blown up.
                let deviation = sqrt (Tensor.clamp 1e-4 infinity (Tensor.varianceOver [ 0 ] 0 x))
                [ shift, -(Tensor.meanOver [ 0 ] x); scale, -(Tensor.log deviation) ] }

    /// Coordinates in another order: the one after the other of `order`.
    let permutation (order: int[]) : FlowLayer =
        let index (order: int[]) (x: Tensor) =
            Tensor.indexSelect 1 ((Tensor.ofArray [ order.Length ] (Array.map int64 order)).To x.Device) x

        let back = Array.zeroCreate order.Length
        order |> Array.iteri (fun place k -> back[k] <- place)

        fixedLayer (fun _ _ ->
            { ToNoise = fun x -> struct (index order x, Tensor.zeros x.Kind [ x.Shape[0] ])
              ToData = fun z -> struct (index back z, Tensor.zeros z.Kind [ z.Shape[0] ]) })

    /// A permutation of `dimension` coordinates that depends on the name only.
    let shuffled (name: string) (dimension: int) : int[] =
        Scope.run (fun () -> Rng.permutation dimension (Rng.named name (Rng.ofSeed 0L)) |> Tensor.toArray<int64>)
        |> Array.map int

    /// z = P L U x with L unit lower and U upper triangular, diag U = e^s, and a permutation P that stays as it is: log |det| = Σ s, and the inverse two triangular
    /// solutions (Kingma, Dhariwal 2018, Glow, eq. 10, the invertible 1 × 1 convolution). Before training it is P.
    let linear (b: Blueprint) (order: int[]) : FlowLayer =
        let d = order.Length
        let lower = b.Parameter("lower", [ d; d ], Initializer.Zeros)
        let upper = b.Parameter("upper", [ d; d ], Initializer.Zeros)
        let scale = b.Parameter("scale", [ d ], Initializer.Zeros)
        let permute = permutation order

        fixedLayer (fun p condition ->
            let permute = permute.Make p condition
            let one = Tensor.eye p[lower].Kind d
            let strictly (m: Tensor) = Tensor.tril m * (1.0 - one)
            let l = strictly p[lower] + one
            let u =
                Tensor.transpose 0 1 (strictly (Tensor.transpose 0 1 p[upper]))
                + Tensor.diagEmbed (Tensor.exp p[scale])
            let sum = Tensor.sum p[scale]

            { ToNoise =
                fun x ->
                    let y = Linalg.matmul (Linalg.matmul x (Tensor.transpose 0 1 u)) (Tensor.transpose 0 1 l)
                    let struct (z, _) = permute.ToNoise y
                    struct (z, forAll x sum)
              ToData =
                fun z ->
                    let struct (y, _) = permute.ToData z

                    let x = Tensor.transpose 0 1 y |> Linalg.solveTriangular false l |> Linalg.solveTriangular true u

                    struct (Tensor.transpose 0 1 x, forAll z -sum) })

    /// What a part of the coordinates and a class say of the others: a perceptron whose output is 0 before training.
    let conditioner
        (b: Blueprint)
        (inputs: int)
        (outputs: int)
        (width: int)
        (depth: int)
        (classes: int option)
        : Tensor[] -> Condition -> Tensor -> Tensor =
        let first = Layer.linear (b.Inside "hidden1") inputs width
        let hidden = [ for k in 2..depth -> Layer.linear (b.Inside $"hidden{k}") width width ]
        let labels = classes |> Option.map (fun classes -> Layer.labels (b.Inside "label") classes width)
        let output = Layer.linearFromZero (b.Inside "output") width outputs

        fun p condition x ->
            let start = first p x
            let start = labels |> Option.fold (fun h embed -> h + embed p condition) start
            hidden |> List.fold (fun h layer -> layer p (Tensor.silu h)) start |> Tensor.silu |> output p

    /// Half of the coordinates moved by what the other half says, which stays: the Jacobian is triangular (Dinh et al. 2017, Real NVP, eq. 4–8). `second` says which half
    /// moves. `elementwise raw` is a bijection of each moved coordinate by `numbers` numbers of its own, [B; moved; numbers], to values and the logarithms of their
    /// derivatives. One coordinate alone is moved by numbers of no input.
    let coupling
        (b: Blueprint)
        (dimension: int)
        (second: bool)
        (numbers: int)
        (width: int)
        (depth: int)
        (classes: int option)
        (elementwise: Tensor -> Bijection)
        : FlowLayer =
        let half = dimension / 2
        let first, moved =
            if dimension = 1 then (0, 0), (0, 1)
            elif second then (0, half), (half, dimension - half)
            else (half, dimension - half), (0, half)
        let says = conditioner b (max 1 (snd first)) (numbers * snd moved) width depth classes
        let part (start, length) (x: Tensor) = Tensor.narrow 1 start length x

        fixedLayer (fun p condition ->
            let carry (direction: Bijection -> Tensor -> struct (Tensor * Tensor)) (x: Tensor) =
                let kept = part first x
                let told = if snd first = 0 then Tensor.zeros x.Kind [ x.Shape[0]; 1 ] else kept
                let raw = says p condition told |> Tensor.reshape [ x.Shape[0]; snd moved; numbers ]
                let struct (y, logDerivative) = direction (elementwise raw) (part moved x)
                let whole = if fst moved = 0 then [ y; kept ] else [ kept; y ]
                struct (Tensor.cat 1 whole, Tensor.sumRows logDerivative)

            { ToNoise = carry _.ToNoise; ToData = carry _.ToData })

    /// The largest |s| of a scale e^s: a scale that has run away in one place gives infinities everywhere.
    [<Literal>]
    let LargestScale = 5.0

    let bounded (s: Tensor) : Tensor = LargestScale * Tensor.tanh (s / LargestScale)

    /// z = x e^s + b with (s, b) the two numbers of each coordinate, |s| ≤ 5 by a tanh.
    let affine (raw: Tensor) : Bijection =
        let s = bounded (Tensor.select 2 0 raw)
        let shift = Tensor.select 2 1 raw

        { ToNoise = fun x -> struct (x * Tensor.exp s + shift, s)
          ToData = fun z -> struct ((z - shift) * Tensor.exp -s, -s) }
