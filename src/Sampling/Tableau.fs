namespace Fokker

open System

/// The solution within a step, x(t + θh) = x + h Σ bᵢ(θ) kᵢ for θ in [0, 1]: polynomials over the stages of the step and, where
/// the method needs them, some more. It exists only if it is of the order that it claims (`Tableau.withDense`).
[<NoComparison; ReferenceEquality>]
type DenseOutput =
    private
        { order: int
          reference: string
          nodes: float[]
          stages: float[][]
          polynomials: float[][] }

    member d.Order = d.order
    member d.Reference = d.reference
    /// c of the additional stages.
    member d.Nodes: float list = List.ofArray d.nodes
    /// a of the additional stages; each row reaches over all stages before it.
    member d.Stages: float list list = [ for row in d.stages -> List.ofArray row ]

    /// bᵢ(θ), one for each stage, the additional ones last.
    member d.Weights(theta: float) : float list =
        [ for row in d.polynomials -> theta * Array.foldBack (fun c sum -> c + theta * sum) row 0.0 ]

/// An explicit Runge–Kutta method: kᵢ = v(t + cᵢ h, x + h Σⱼ aᵢⱼ kⱼ), x' = x + h Σ bᵢ kᵢ. A tableau exists only if it is
/// consistent and of the order that it claims (`Tableau.make`).
[<NoComparison; ReferenceEquality>]
type Tableau =
    private
        { name: string
          reference: string
          order: int
          nodes: float[]
          stages: float[][]
          weights: float[]
          embedded: (int * float[]) list
          dense: DenseOutput }

    member t.Name = t.name
    member t.Reference = t.reference
    member t.Order = t.order
    /// c: c₁ = 0, one for each stage.
    member t.Nodes: float list = List.ofArray t.nodes
    /// a, strictly lower triangular: row i has i entries.
    member t.Stages: float list list = [ for row in t.stages -> List.ofArray row ]
    /// b.
    member t.Weights: float list = List.ofArray t.weights

    /// The orders of the other weights b̂ that ride along, and b − b̂: h Σ (bᵢ − b̂ᵢ) kᵢ estimates the error of a step. Two of them
    /// are used together (`Adaptive`).
    member t.ErrorWeights: (int * float list) list =
        [ for order, b in t.embedded -> order, List.map2 (-) (List.ofArray t.weights) (List.ofArray b) ]

    /// Its own, or else the cubic through both ends with their slopes.
    member t.Dense = t.dense

    /// The last stage is the first of the next step (derived: its row is b and its node is 1).
    member t.IsFsal =
        let s = t.weights.Length
        s > 1 && t.nodes[s - 1] = 1.0 && t.weights[s - 1] = 0.0 && t.stages[s - 1] = t.weights[.. s - 2]

    /// Evaluations of the field a step, after the first.
    member t.EvaluationsPerStep = if t.IsFsal then t.weights.Length - 1 else t.weights.Length

[<RequireQualifiedAccess>]
module Tableau =

    /// Rows of `a` that fit their nodes, each as long as there are stages before it.
    let private checkRows (refuse: string -> unit) (c: float[]) (a: float[][]) =
        for i in 0 .. a.Length - 1 do
            if a[i].Length <> i then
                refuse $"row {i} has {a[i].Length} entries: an explicit method has {i}"

            if abs (Array.sum a[i] - c[i]) > OrderConditions.tolerance then
                refuse $"row {i} sums to {Array.sum a[i]}, its node is {c[i]}"

    /// The cubic that has the values and slopes of both ends: bᵢ(θ) = θ² (3 − 2θ) bᵢ, and θ (1 − θ)² for the slope at the beginning,
    /// θ² (θ − 1) for that at the end, which is a stage more where the method does not end with it.
    let private hermite (a: float[][]) (b: float[]) (endsWithSlope: bool) : DenseOutput =
        let last = if endsWithSlope then b.Length - 1 else b.Length

        let polynomials =
            Array.init (last + 1) (fun i ->
                let weight = if i < b.Length then b[i] else 0.0
                let first, final = (if i = 0 then 1.0 else 0.0), (if i = last then 1.0 else 0.0)
                [| first; 3.0 * weight - 2.0 * first - final; -2.0 * weight + first + final |])

        let extra = if endsWithSlope then [||] else [| b |]

        { order = OrderConditions.denseOrder (Array.append a extra) polynomials
          reference = "Hermite 1878; Hairer, Nørsett, Wanner 1993, section II.6"
          nodes = extra |> Array.map (fun _ -> 1.0)
          stages = extra
          polynomials = polynomials }

    /// A method from its coefficients: c, the rows of a below the first, b, and the embedded b̂ with their orders. The orders are
    /// computed. Raises ArgumentException where the shapes do not fit, cᵢ ≠ Σⱼ aᵢⱼ, Σ bᵢ ≠ 1, or an order is not the one claimed.
    let make
        name
        reference
        (claimed: int)
        (c: float list)
        (a: float list list)
        (b: float list)
        (embedded: (int * float list) list)
        =
        let refuse (what: string) = invalidArg (nameof a) $"tableau {name}: {what}"
        let a, b, c = [| [||]; yield! List.map Array.ofList a |], Array.ofList b, Array.ofList c

        if a.Length <> b.Length || c.Length <> b.Length then
            refuse $"{a.Length} rows, {b.Length} weights, {c.Length} nodes"

        checkRows refuse c a

        let check what claimed (b: float[]) =
            if b.Length <> a.Length then
                refuse $"{b.Length} {what} for {a.Length} stages"

            let order = OrderConditions.order a b

            if order <> claimed then
                refuse $"{what} are of order {order}, not {claimed}"

        check "weights" claimed b
        let embedded = embedded |> List.map (fun (order, b) -> order, Array.ofList b)

        for order, b in embedded do
            check "embedded weights" order b

        let t =
            { name = name
              reference = reference
              order = claimed
              nodes = c
              stages = a
              weights = b
              embedded = embedded
              dense = hermite a b false }

        if t.IsFsal then { t with dense = hermite a b true } else t

    /// The method with dense output of its own: c and the rows of a of its additional stages, and for each stage the coefficients of
    /// θ, θ², … in bᵢ(θ). Raises ArgumentException where the shapes do not fit, bᵢ(1) ≠ bᵢ, or the order is not the one claimed.
    let withDense
        reference
        (claimed: int)
        (c: float list)
        (a: float list list)
        (polynomials: float list list)
        (tableau: Tableau)
        =
        let refuse (what: string) = invalidArg (nameof a) $"dense output of tableau {tableau.name}: {what}"
        let nodes, stages = Array.ofList c, a |> List.map Array.ofList |> Array.ofList
        let polynomials = polynomials |> List.map Array.ofList |> Array.ofList
        let a = Array.append tableau.stages stages

        if stages.Length <> nodes.Length || polynomials.Length <> a.Length then
            refuse $"{stages.Length} more rows, {nodes.Length} more nodes, {polynomials.Length} polynomials"

        checkRows refuse (Array.append tableau.nodes nodes) a
        let order = OrderConditions.denseOrder a polynomials

        if order <> claimed then
            refuse $"it is of order {order}, not {claimed}"

        for i in 0 .. polynomials.Length - 1 do
            let b = if i < tableau.weights.Length then tableau.weights[i] else 0.0

            if abs (Array.sum polynomials[i] - b) > 1e-12 then
                refuse $"polynomial {i} is {Array.sum polynomials[i]} at the end of the step, the weight there is {b}"

        { tableau with
            dense = { order = order; reference = reference; nodes = nodes; stages = stages; polynomials = polynomials } }

    /// The same method with the slope at the end of its step as a last stage, where it does not end with it: what the next step begins with.
    let endingWithSlope (tableau: Tableau) : Tableau =
        if tableau.IsFsal then
            tableau
        else
            let more (b: float[]) = Array.append b [| 0.0 |]
            let stages, weights = Array.append tableau.stages [| tableau.weights |], more tableau.weights

            { tableau with
                nodes = Array.append tableau.nodes [| 1.0 |]
                stages = stages
                weights = weights
                embedded = tableau.embedded |> List.map (fun (order, b) -> order, more b)
                dense = hermite stages weights true }

    let euler = make "euler" "Euler 1768" 1 [ 0.0 ] [] [ 1.0 ] []

    let midpoint = make "midpoint" "Runge 1895" 2 [ 0.0; 1.0 / 2.0 ] [ [ 1.0 / 2.0 ] ] [ 0.0; 1.0 ] []

    /// The explicit trapezoidal rule.
    let heun =
        make
            "heun"
            "Heun 1900; Karras et al. 2022, EDM, algorithm 1"
            2
            [ 0.0; 1.0 ]
            [ [ 1.0 ] ]
            [ 1.0 / 2.0; 1.0 / 2.0 ]
            []

    /// The two-stage method with the smallest bound on its error.
    let ralston = make "ralston" "Ralston 1962" 2 [ 0.0; 2.0 / 3.0 ] [ [ 2.0 / 3.0 ] ] [ 1.0 / 4.0; 3.0 / 4.0 ] []

    let kutta3 =
        make
            "kutta3"
            "Kutta 1901"
            3
            [ 0.0; 1.0 / 2.0; 1.0 ]
            [ [ 1.0 / 2.0 ]; [ -1.0; 2.0 ] ]
            [ 1.0 / 6.0; 2.0 / 3.0; 1.0 / 6.0 ]
            []

    /// Strong stability preserving.
    let ssp3 =
        make
            "ssp3"
            "Shu, Osher 1988"
            3
            [ 0.0; 1.0; 1.0 / 2.0 ]
            [ [ 1.0 ]; [ 1.0 / 4.0; 1.0 / 4.0 ] ]
            [ 1.0 / 6.0; 1.0 / 6.0; 2.0 / 3.0 ]
            []

    let rk4 =
        make
            "rk4"
            "Kutta 1901"
            4
            [ 0.0; 1.0 / 2.0; 1.0 / 2.0; 1.0 ]
            [ [ 1.0 / 2.0 ]; [ 0.0; 1.0 / 2.0 ]; [ 0.0; 0.0; 1.0 ] ]
            [ 1.0 / 6.0; 1.0 / 3.0; 1.0 / 3.0; 1.0 / 6.0 ]
            []

    let threeEighths =
        make
            "three-eighths"
            "Kutta 1901"
            4
            [ 0.0; 1.0 / 3.0; 2.0 / 3.0; 1.0 ]
            [ [ 1.0 / 3.0 ]; [ -1.0 / 3.0; 1.0 ]; [ 1.0; -1.0; 1.0 ] ]
            [ 1.0 / 8.0; 3.0 / 8.0; 3.0 / 8.0; 1.0 / 8.0 ]
            []

    /// The four-stage method with the smallest bound on its error.
    let ralston4 =
        let root = sqrt 5.0

        make
            "ralston4"
            "Ralston 1962, Runge–Kutta methods with minimum error bounds"
            4
            [ 0.0; 2.0 / 5.0; (14.0 - 3.0 * root) / 16.0; 1.0 ]
            [ [ 2.0 / 5.0 ]
              [ (-2889.0 + 1428.0 * root) / 1024.0; (3785.0 - 1620.0 * root) / 1024.0 ]
              [ (-3365.0 + 2094.0 * root) / 6040.0
                (-975.0 - 3046.0 * root) / 2552.0
                (467040.0 + 203968.0 * root) / 240845.0 ] ]
            [ (263.0 + 24.0 * root) / 1812.0
              (125.0 - 1000.0 * root) / 3828.0
              (3426304.0 + 1661952.0 * root) / 5924787.0
              (30.0 - 4.0 * root) / 123.0 ]
            []

    /// 3(2), first same as last.
    let bogackiShampine =
        let b = [ 2.0 / 9.0; 1.0 / 3.0; 4.0 / 9.0 ]

        make
            "bogacki-shampine"
            "Bogacki, Shampine 1989"
            3
            [ 0.0; 1.0 / 2.0; 3.0 / 4.0; 1.0 ]
            [ [ 1.0 / 2.0 ]; [ 0.0; 3.0 / 4.0 ]; b ]
            [ yield! b; 0.0 ]
            [ 2, [ 7.0 / 24.0; 1.0 / 4.0; 1.0 / 3.0; 1.0 / 8.0 ] ]

    /// 4(5) of six stages, with the fourth order carried on.
    let fehlberg =
        make
            "fehlberg"
            "Fehlberg 1969"
            4
            [ 0.0; 1.0 / 4.0; 3.0 / 8.0; 12.0 / 13.0; 1.0; 1.0 / 2.0 ]
            [ [ 1.0 / 4.0 ]
              [ 3.0 / 32.0; 9.0 / 32.0 ]
              [ 1932.0 / 2197.0; -7200.0 / 2197.0; 7296.0 / 2197.0 ]
              [ 439.0 / 216.0; -8.0; 3680.0 / 513.0; -845.0 / 4104.0 ]
              [ -8.0 / 27.0; 2.0; -3544.0 / 2565.0; 1859.0 / 4104.0; -11.0 / 40.0 ] ]
            [ 25.0 / 216.0; 0.0; 1408.0 / 2565.0; 2197.0 / 4104.0; -1.0 / 5.0; 0.0 ]
            [ 5, [ 16.0 / 135.0; 0.0; 6656.0 / 12825.0; 28561.0 / 56430.0; -9.0 / 50.0; 2.0 / 55.0 ] ]

    /// 5(4) of seven stages, first same as last.
    let dormandPrince =
        let b = [ 35.0 / 384.0; 0.0; 500.0 / 1113.0; 125.0 / 192.0; -2187.0 / 6784.0; 11.0 / 84.0 ]

        make
            "dormand-prince"
            "Dormand, Prince 1980"
            5
            [ 0.0; 1.0 / 5.0; 3.0 / 10.0; 4.0 / 5.0; 8.0 / 9.0; 1.0; 1.0 ]
            [ [ 1.0 / 5.0 ]
              [ 3.0 / 40.0; 9.0 / 40.0 ]
              [ 44.0 / 45.0; -56.0 / 15.0; 32.0 / 9.0 ]
              [ 19372.0 / 6561.0; -25360.0 / 2187.0; 64448.0 / 6561.0; -212.0 / 729.0 ]
              [ 9017.0 / 3168.0; -355.0 / 33.0; 46732.0 / 5247.0; 49.0 / 176.0; -5103.0 / 18656.0 ]
              b ]
            [ yield! b; 0.0 ]
            [ 4,
              [ 5179.0 / 57600.0
                0.0
                7571.0 / 16695.0
                393.0 / 640.0
                -92097.0 / 339200.0
                187.0 / 2100.0
                1.0 / 40.0 ] ]
        |> withDense
            "Hairer, Nørsett, Wanner 1993, eq. II.6.12"
            4
            []
            []
            [ [ 1.0; -8048581381.0 / 2820520608.0; 8663915743.0 / 2820520608.0; -12715105075.0 / 11282082432.0 ]
              [ 0.0; 0.0; 0.0; 0.0 ]
              [ 0.0; 131558114200.0 / 32700410799.0; -68118460800.0 / 10900136933.0; 87487479700.0 / 32700410799.0 ]
              [ 0.0; -1754552775.0 / 470086768.0; 14199869525.0 / 1410260304.0; -10690763975.0 / 1880347072.0 ]
              [ 0.0; 127303824393.0 / 49829197408.0; -318862633887.0 / 49829197408.0; 701980252875.0 / 199316789632.0 ]
              [ 0.0; -282668133.0 / 205662961.0; 2019193451.0 / 616988883.0; -1453857185.0 / 822651844.0 ]
              [ 0.0; 40617522.0 / 29380423.0; -110615467.0 / 29380423.0; 69997945.0 / 29380423.0 ] ]

    /// 5(4) of seven stages, first same as last, with a smaller error than Dormand and Prince's.
    let tsitouras =
        let b =
            [ 0.09646076681806523; 0.01; 0.4798896504144996; 1.379008574103742; -3.290069515436081; 2.324710524099774 ]

        let errors =
            [ -0.00178001105222577714
              -0.0008164344596567469
              0.007880878010261995
              -0.1447110071732629
              0.5823571654525552
              -0.45808210592918697
              1.0 / 66.0 ]

        /// s θ (θ − p) (θ² − q θ + r) and s θ² (θ² − q θ + r) by rising powers.
        let rising s p q r = [ -s * p * r; s * (r + p * q); -s * (p + q); s ]
        let flat s q r = [ 0.0; s * r; -s * q; s ]
        let roots s p q = flat s (p + q) (p * q)

        make
            "tsitouras"
            "Tsitouras 2011, table 1"
            5
            [ 0.0; 0.161; 0.327; 0.9; 0.9800255409045097; 1.0; 1.0 ]
            [ [ 0.161 ]
              [ -0.008480655492356989; 0.335480655492357 ]
              [ 2.8971530571054935; -6.359448489975075; 4.3622954328695815 ]
              [ 5.325864828439257; -11.748883564062828; 7.4955393428898365; -0.09249506636175525 ]
              [ 5.86145544294642; -12.92096931784711; 8.159367898576159; -0.071584973281401; -0.028269050394068383 ]
              b ]
            [ yield! b; 0.0 ]
            [ 4, List.map2 (+) [ yield! b; 0.0 ] errors ]
        |> withDense
            "Tsitouras 2011, section 4"
            4
            []
            []
            [ rising -1.0530884977290216 1.3299890189751412 1.4364028541716351 0.7139816917074209
              flat 0.1017 2.1966568338249754 1.2949852507374631
              flat 2.490627285651252793 2.38535645472061657 1.57803468208092486
              roots -16.54810288924490272 1.21712927295533244 0.61620406037800089
              roots 47.37952196281928122 1.203071208372362603 0.658047292653547382
              roots -34.87065786149660974 1.2 0.666666666666666667
              roots 2.5 1.0 0.6 ]

    /// 8(5,3) of twelve stages and the slope at the end, with dense output of order 7 from three stages more.
    let dop853 =
        make
            "dop853"
            "Hairer, Nørsett, Wanner 1993, section II.5 (DOP853)"
            8
            Dop853.nodes
            Dop853.stages
            Dop853.weights
            [ 5, Dop853.fifthOrder; 3, Dop853.thirdOrder ]
        |> withDense
            "Hairer, Nørsett, Wanner 1993, section II.6"
            7
            Dop853.denseNodes
            Dop853.denseStages
            Dop853.densePolynomials

    /// Every method, by rising order.
    let all =
        [ euler
          midpoint
          heun
          ralston
          kutta3
          ssp3
          bogackiShampine
          rk4
          threeEighths
          ralston4
          fehlberg
          dormandPrince
          tsitouras
          dop853 ]
