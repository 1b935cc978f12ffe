namespace Fokker

open System

/// An explicit Runge–Kutta method: kᵢ = v(t + cᵢ h, x + h Σⱼ aᵢⱼ kⱼ), x' = x + h Σ bᵢ kᵢ. A tableau exists only if it is
/// consistent and of the order that it claims (`Tableau.make`).
[<NoComparison; ReferenceEquality>]
type Tableau =
    private
        { name: string
          source: string
          order: int
          nodes: float[]
          stages: float[][]
          weights: float[]
          embedded: (int * float[]) option }

    member t.Name = t.name
    member t.Source = t.source
    member t.Order = t.order
    /// c: c₁ = 0, one for each stage.
    member t.Nodes: float list = List.ofArray t.nodes
    /// a, strictly lower triangular: row i has i entries.
    member t.Stages: float list list = [ for row in t.stages -> List.ofArray row ]
    /// b.
    member t.Weights: float list = List.ofArray t.weights
    /// The order of the second set of weights b̂ that rides along, and b − b̂: h Σ (bᵢ − b̂ᵢ) kᵢ estimates the error of a step.
    member t.ErrorWeights: (int * float list) option =
        t.embedded
        |> Option.map (fun (order, b) -> order, List.map2 (-) (List.ofArray t.weights) (List.ofArray b))

    /// The last stage is the first of the next step (derived: its row is b and its node is 1).
    member t.IsFsal =
        let s = t.weights.Length
        s > 1 && t.nodes[s - 1] = 1.0 && t.weights[s - 1] = 0.0 && t.stages[s - 1] = t.weights[.. s - 2]

    /// Evaluations of the field a step, after the first.
    member t.EvaluationsPerStep = if t.IsFsal then t.weights.Length - 1 else t.weights.Length

[<RequireQualifiedAccess>]
module Tableau =

    /// Rooted trees: one for every elementary differential, hence for every order condition (Butcher 1963; Hairer, Nørsett,
    /// Wanner 1993, section II.2).
    type private Tree = Node of Tree list

    let private leaf = Node []

    /// All trees with one more leaf.
    let rec private grown (Node children) : Tree list =
        let deeper =
            [ for i in 0 .. children.Length - 1 do
                  for child in grown children[i] do
                      List.updateAt i child children ]

        [ for children in (leaf :: children) :: deeper -> Node(List.sort children) ]

    let private treesOf (order: int) : Tree list =
        List.fold (fun trees _ -> trees |> List.collect grown |> List.distinct) [ leaf ] [ 2..order ]

    let rec private size (Node children) = 1 + List.sumBy size children
    let rec private density (Node children as tree) =
        float (size tree) * List.fold (fun p c -> p * density c) 1.0 children

    /// The elementary weight of a tree at every stage.
    let rec private elementary (a: float[][]) (Node children) : float[] =
        let below = children |> List.map (elementary a)

        Array.init a.Length (fun i ->
            below
            |> List.fold (fun product phi -> product * Seq.sum (Seq.mapi (fun j aij -> aij * phi[j]) a[i])) 1.0)

    /// The largest violation of the conditions of exactly this order: |Σ bᵢ Φᵢ(τ) − 1/γ(τ)| over the trees τ of that many nodes.
    let private violation (a: float[][]) (b: float[]) (order: int) : float =
        treesOf order
        |> List.map (fun tree -> abs (Array.sum (Array.map2 (*) b (elementary a tree)) - 1.0 / density tree))
        |> List.max

    /// Rounding of decimals and of fractions; a wrong digit in the last place that matters is larger.
    let private tolerance = 1e-13

    /// The order of weights b: the largest p such that every condition up to p holds.
    let private orderOf a b =
        Seq.initInfinite (fun k -> k + 1)
        |> Seq.takeWhile (fun p -> violation a b p <= tolerance)
        |> Seq.length

    /// A method from its coefficients: c, the rows of a below the first, b, and the embedded b̂ where there is one. The orders are
    /// computed. Raises ArgumentException where the shapes do not fit, cᵢ ≠ Σⱼ aᵢⱼ, Σ bᵢ ≠ 1, or the order is not the one claimed.
    let make
        name
        source
        (claimed: int)
        (c: float list)
        (a: float list list)
        (b: float list)
        (embedded: (int * float list) option)
        =
        let refuse (what: string) = invalidArg (nameof a) $"tableau {name}: {what}"
        let a, b, c = [| [||]; yield! List.map Array.ofList a |], Array.ofList b, Array.ofList c

        if a.Length <> b.Length || c.Length <> b.Length then
            refuse $"{a.Length} rows, {b.Length} weights, {c.Length} nodes"

        for i in 0 .. a.Length - 1 do
            if a[i].Length <> i then
                refuse $"row {i} has {a[i].Length} entries: an explicit method has {i}"

            if abs (Array.sum a[i] - c[i]) > tolerance then
                refuse $"row {i} sums to {Array.sum a[i]}, its node is {c[i]}"

        let check what claimed (b: float[]) =
            if b.Length <> a.Length then
                refuse $"{b.Length} {what} for {a.Length} stages"

            let order = orderOf a b

            if order <> claimed then
                refuse $"{what} are of order {order}, not {claimed}"

        check "weights" claimed b
        embedded |> Option.iter (fun (order, b) -> check "embedded weights" order (Array.ofList b))

        { name = name
          source = source
          order = claimed
          nodes = c
          stages = a
          weights = b
          embedded = embedded |> Option.map (fun (order, b) -> order, Array.ofList b) }

    let euler = make "euler" "Euler 1768" 1 [ 0.0 ] [] [ 1.0 ] None

    let midpoint = make "midpoint" "Runge 1895" 2 [ 0.0; 1.0 / 2.0 ] [ [ 1.0 / 2.0 ] ] [ 0.0; 1.0 ] None

    /// The explicit trapezoidal rule.
    let heun =
        make
            "heun"
            "Heun 1900; Karras et al. 2022, EDM, algorithm 1"
            2
            [ 0.0; 1.0 ]
            [ [ 1.0 ] ]
            [ 1.0 / 2.0; 1.0 / 2.0 ]
            None

    /// The two-stage method with the smallest bound on its error.
    let ralston = make "ralston" "Ralston 1962" 2 [ 0.0; 2.0 / 3.0 ] [ [ 2.0 / 3.0 ] ] [ 1.0 / 4.0; 3.0 / 4.0 ] None

    let kutta3 =
        make
            "kutta3"
            "Kutta 1901"
            3
            [ 0.0; 1.0 / 2.0; 1.0 ]
            [ [ 1.0 / 2.0 ]; [ -1.0; 2.0 ] ]
            [ 1.0 / 6.0; 2.0 / 3.0; 1.0 / 6.0 ]
            None

    /// Strong stability preserving.
    let ssp3 =
        make
            "ssp3"
            "Shu, Osher 1988"
            3
            [ 0.0; 1.0; 1.0 / 2.0 ]
            [ [ 1.0 ]; [ 1.0 / 4.0; 1.0 / 4.0 ] ]
            [ 1.0 / 6.0; 1.0 / 6.0; 2.0 / 3.0 ]
            None

    let rk4 =
        make
            "rk4"
            "Kutta 1901"
            4
            [ 0.0; 1.0 / 2.0; 1.0 / 2.0; 1.0 ]
            [ [ 1.0 / 2.0 ]; [ 0.0; 1.0 / 2.0 ]; [ 0.0; 0.0; 1.0 ] ]
            [ 1.0 / 6.0; 1.0 / 3.0; 1.0 / 3.0; 1.0 / 6.0 ]
            None

    let threeEighths =
        make
            "three-eighths"
            "Kutta 1901"
            4
            [ 0.0; 1.0 / 3.0; 2.0 / 3.0; 1.0 ]
            [ [ 1.0 / 3.0 ]; [ -1.0 / 3.0; 1.0 ]; [ 1.0; -1.0; 1.0 ] ]
            [ 1.0 / 8.0; 3.0 / 8.0; 3.0 / 8.0; 1.0 / 8.0 ]
            None

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
            (Some(2, [ 7.0 / 24.0; 1.0 / 4.0; 1.0 / 3.0; 1.0 / 8.0 ]))

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
            (Some(5, [ 16.0 / 135.0; 0.0; 6656.0 / 12825.0; 28561.0 / 56430.0; -9.0 / 50.0; 2.0 / 55.0 ]))

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
            (Some(
                4,
                [ 5179.0 / 57600.0
                  0.0
                  7571.0 / 16695.0
                  393.0 / 640.0
                  -92097.0 / 339200.0
                  187.0 / 2100.0
                  1.0 / 40.0 ]
            ))

    /// Every method, by rising order.
    let all =
        [ euler; midpoint; heun; ralston; kutta3; ssp3; bogackiShampine; rk4; threeEighths; fehlberg; dormandPrince ]
