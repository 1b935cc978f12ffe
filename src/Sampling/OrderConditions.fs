namespace Fokker

/// What makes a Runge–Kutta method of order p, as equations in its coefficients: one for every rooted tree of up to p nodes
/// (Butcher 1963; Hairer, Nørsett, Wanner 1993, sections II.2 and II.6). Stage i has the elementary weight Φᵢ(τ) under the tree τ,
/// the exact solution 1/γ(τ).
module internal OrderConditions =

    /// A rooted tree by its children: one for every elementary differential.
    type private Tree = Node of Tree list

    let private leaf = Node []

    /// All trees with one more leaf.
    let rec private grown (Node children) : Tree list =
        let deeper =
            [ for i in 0 .. children.Length - 1 do
                  for child in grown children[i] do
                      List.updateAt i child children ]

        [ for children in (leaf :: children) :: deeper -> Node(List.sort children) ]

    let rec private size (Node children) = 1 + List.sumBy size children

    let rec private density (Node children as tree) =
        float (size tree) * List.fold (fun p c -> p * density c) 1.0 children

    /// The trees of n nodes with their 1/γ, each list made from the one before when it is first wanted.
    let private trees: Lazy<(Tree * float) list>[] =
        let mutable smaller = lazy ([ leaf, 1.0 ])

        [| smaller
           for _ in 2..10 do
               let last = smaller

               smaller <-
                   lazy
                       (last.Value
                        |> List.collect (fun (tree, _) -> grown tree)
                        |> List.distinct
                        |> List.map (fun tree -> tree, 1.0 / density tree))

               smaller |]

    /// Φ(τ) at every stage: the product over the children of Σⱼ aᵢⱼ Φⱼ.
    let rec private elementary (a: float[][]) (Node children) : float[] =
        let product = Array.create a.Length 1.0

        for child in children do
            let below = elementary a child

            for i in 0 .. a.Length - 1 do
                let mutable sum = 0.0

                for j in 0 .. a[i].Length - 1 do
                    sum <- sum + a[i][j] * below[j]

                product[i] <- product[i] * sum

        product

    let private dot (b: float[]) (phi: float[]) =
        let mutable sum = 0.0

        for i in 0 .. b.Length - 1 do
            sum <- sum + b[i] * phi[i]

        sum

    /// Rounding of decimals and of fractions; a wrong digit in the last place that matters is larger.
    let tolerance = 1e-13

    let private largestSuch (holds: int -> bool) =
        Seq.initInfinite (fun k -> k + 1) |> Seq.takeWhile holds |> Seq.length

    /// The order of weights b over stages a: the largest p such that Σᵢ bᵢ Φᵢ(τ) = 1/γ(τ) for every τ of up to p nodes.
    let order (a: float[][]) (b: float[]) : int =
        largestSuch (fun p ->
            trees[p - 1].Value
            |> List.forall (fun (tree, exact) -> abs (dot b (elementary a tree) - exact) <= tolerance))

    /// The order of dense output bᵢ(θ) = Σⱼ wᵢⱼ θʲ, j = 1, 2, …: the largest p such that Σᵢ bᵢ(θ) Φᵢ(τ) = θ^{|τ|}/γ(τ) for every τ of up
    /// to p nodes, which is one equation for each power of θ.
    let denseOrder (a: float[][]) (w: float[][]) : int =
        let powers = w[0].Length
        let columns = Array.init powers (fun j -> w |> Array.map (fun row -> row[j]))
        // The powers of θ have large coefficients that cancel in the sum: their rounding is relative to the largest.
        let size = w |> Array.fold (Array.fold (fun m c -> max m (abs c))) 1.0

        largestSuch (fun p ->
            trees[p - 1].Value
            |> List.forall (fun (tree, exact) ->
                let phi = elementary a tree

                p <= powers
                && columns
                   |> Array.indexed
                   |> Array.forall (fun (j, column) ->
                       abs (dot column phi - (if j + 1 = p then exact else 0.0)) <= tolerance * size)))
