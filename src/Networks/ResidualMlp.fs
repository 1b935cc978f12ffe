namespace Fokker

/// A perceptron of residual blocks on [B; Dimension], with the settings of an `Mlp`; `Depth` counts its blocks.
[<RequireQualifiedAccess>]
module ResidualMlp =

    /// h₀ = W₀ (x, φ(t)) + b₀ + e_label, hₖ = hₖ₋₁ + Vₖ silu(Wₖ silu(hₖ₋₁)), y = W silu(h_depth): each V and W is 0 before training, so that the blocks start
    /// out as the identity (He et al. 2016, Identity mappings in deep residual networks). Raises ArgumentException where a size is not positive, and in use
    /// where the labels, times or shapes do not fit.
    let network (s: Mlp) : Network =
        // What an MLP of these settings refuses is refused here.
        let plain = Mlp.network s
        let b = Blueprint()
        let count, scale =
            match s.Time with
            | TimeFeatures.Fourier(count, scale) -> count, scale
            | TimeFeatures.Plain -> 16, 1.0

        let features = Embedding.fourierOf s.Times (Embedding.gaussianFrequencies scale count)
        let first = Layer.linearOf (b.Inside "input") [ s.Dimension; s.Times * 2 * count ] s.Width

        let blocks =
            [| for k in 1 .. s.Depth ->
                   let inside = b.Inside $"block{k}"
                   Layer.linear (inside.Inside "in") s.Width s.Width,
                   Layer.linearFromZero (inside.Inside "out") s.Width s.Width |]

        let labels = s.Classes |> Option.map (fun classes -> Layer.labels (b.Inside "label") classes s.Width)
        let output = Layer.linearFromZero (b.Inside "output") s.Width (s.Outputs * s.Dimension)
        let specs, name = b.Specs, "residual-mlp"

        let apply (p: Tensor[]) =
            Network.check name specs p

            fun (condition: Condition) ->
                Network.checkCondition name s.Classes condition

                fun (t: Tensor) (x: Tensor) ->
                    Network.checkInput name [ s.Dimension ] s.Times condition t x
                    let start = first p [ x; (features t).To x.Kind ]
                    let start = labels |> Option.fold (fun h embed -> h + embed p condition) start

                    blocks
                    |> Array.fold (fun h (inner, outer) -> h + outer p (Tensor.silu (inner p (Tensor.silu h)))) start
                    |> Tensor.silu
                    |> output p

        { plain with Name = name; Specs = specs; Apply = apply }

    // ---- by name

    /// The network as it is asked for, and read again.
    let entry: NetworkEntry =
        { Kind = "residual-mlp"
          Parts =
            [ NetworkEntry.part
                  "residual-mlp"
                  "residual blocks of a multilayer perceptron, for vectors"
                  "He et al. 2016, Identity mappings in deep residual networks"
                  (Mlp.ofVectors "residual-mlp" network) ]
          OfSettings = Mlp.ofSettings >> network }
