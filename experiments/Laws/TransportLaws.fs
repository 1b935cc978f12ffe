namespace Fokker.Experiments.Laws

open FsCheck.FSharp
open Fokker

/// Optimal transport between batches, and what the couplings do with it.
module TransportLaws =

    let private section = "Transport"

    let private clouds =
        gen {
            let! n = Gen.choose (2, 12)
            let! d = Gen.choose (1, 3)
            let! r = Draw.rng
            return r, n, Draw.vectors r "a" [ n; d ], Draw.vectors r "b" [ n; d ] * 1.5 + 0.5
        }

    let private law name statement source tolerance cases check =
        { Name = name
          Section = section
          Statement = statement
          Source = source
          Tolerance = tolerance
          Cases = cases
          Check =
            fun f ->
                gen {
                    let! r, n, a, b = clouds
                    return { Error = check f r a b; Case = $"{n} points in {a.Shape[1]}-D" }
                } }

    let private picked (x: Tensor) (index: Tensor) = Tensor.indexSelect 0 index x
    let private cost (a: Tensor) (b: Tensor) = (Tensor.sum (Tensor.square (a - b))).ToFloat()

    let plan =
        law
            "ot-plan"
            "the plan uses every point of either side once, and costs no more than any pairing tried"
            "Monge 1781; Kantorovich 1942"
            1e-10
            100
        <| fun f r a b ->
            let struct (i, j) = f.Exact.Pair r a b
            let order (t: Tensor) = Tensor.toArray<int64> t |> Array.sort
            let all = [| 0L .. int64 a.Shape[0] - 1L |]

            if order i <> all || order j <> all then
                infinity
            else
                let own = cost (picked a i) (picked b j)

                [ for k in 0L .. 9L -> cost a (picked b (Rng.permutation b.Shape[0] (Rng.at k r))) ]
                |> List.map (fun other -> max 0.0 (own - other) / (1.0 + own))
                |> List.max

    let monotone =
        law
            "ot-cyclically-monotone"
            "Σ ⟨x_k, y_k⟩ ≥ Σ ⟨x_k, y_{k+1}⟩ along every cycle of the plan's pairs"
            "Rockafellar 1966; Villani 2009, theorem 5.10"
            1e-10
            100
        <| fun f r a b ->
            let struct (i, j) = f.Exact.Pair r a b
            let x, y = picked a i, picked b j
            let n = x.Shape[0]

            // Random cycles of every length.
            [ for k in 0L .. 19L do
                  let order = Rng.permutation n (Rng.at k r)
                  let length = 2 + int k % (n - 1)
                  let cycle = Tensor.narrow 0 0 length order
                  let next = Tensor.cat 0 [ Tensor.narrow 0 1 (length - 1) cycle; Tensor.narrow 0 0 1 cycle ]
                  let inner a b = (Tensor.sum (a * b)).ToFloat()
                  let kept = inner (picked x cycle) (picked y cycle)
                  max 0.0 (inner (picked x cycle) (picked y next) - kept) / (1.0 + abs kept) ]
            |> List.max

    let private uniform (x: Tensor) = Tensor.full Kind.Float64 [ x.Shape[0] ] (1.0 / float x.Shape[0])

    let marginals =
        law
            "sinkhorn-marginals"
            "the entropic plan has its marginals and the Gibbs form P = a b e^{(f + g − C)/ε}"
            "Cuturi 2013, lemma 2"
            1e-8
            40
        <| fun f _ a b ->
            let c = Coupling.squaredDistances a b
            let epsilon = 0.3 * (Tensor.mean c).ToFloat()
            let p = f.Sinkhorn epsilon (uniform a) (uniform b) c
            let rows = Tensor.sumOver [ 1 ] p.Weights
            let columns = Tensor.sumOver [ 0 ] p.Weights
            let gibbs = log (p.Weights * float (a.Shape[0] * b.Shape[0])) * epsilon + c
            let additive = Tensor.unsqueeze 1 p.F + Tensor.unsqueeze 0 p.G

            List.max [ Measure.apart rows (uniform a); Measure.apart columns (uniform b); Measure.apart gibbs additive ]

    let limits =
        law
            "sinkhorn-limits"
            "the entropic plan's cost goes to the exact one as ε → 0 and to the independent one as ε → ∞"
            "Peyré, Cuturi 2019, proposition 4.1"
            1e-3 // at ε = 1e-3 of the mean cost the gap is at most ε log n
            20
        <| fun f r a b ->
            let c = Coupling.squaredDistances a b
            let mean = (Tensor.mean c).ToFloat()
            let plan eps = f.Sinkhorn eps (uniform a) (uniform b) c
            let value eps = (Tensor.sum ((plan eps).Weights * c)).ToFloat()
            let struct (i, j) = Coupling.exact.Pair r a b
            let exact = cost (picked a i) (picked b j) / float a.Shape[0]
            let low, high = value (2e-4 * mean), value (1e5 * mean)
            max (abs (low - exact) / mean) (abs (high - mean) / mean)

    let classes =
        { Name = "plans-within-classes"
          Section = section
          Statement =
            "a plan made within classes pairs each class's data with the source samples dealt to it before matching: the source law given the class is untouched"
          Source = "the known bias of OT-CFM with labels"
          Tolerance = 0.0
          Cases = 60
          Check =
            fun f ->
                gen {
                    let! r, n, a, b = clouds
                    let labels = Rng.integers 3L [ n ] (Rng.named "labels" r)
                    let struct (i, j) = (f.WithinClasses labels Coupling.exact).Pair r a b
                    let of' (index: Tensor) = Tensor.toArray<int64>(picked labels index)
                    let complete (t: Tensor) = Array.sort (Tensor.toArray<int64> t) = [| 0L .. int64 n - 1L |]

                    return
                        { Error = (if of' i = of' j && complete i && complete j then 0.0 else 1.0)
                          Case = $"{n} points, labels {List.ofArray (Tensor.toArray<int64> labels)}" }
                } }

    let all = [ plan; monotone; marginals; limits; classes ]
