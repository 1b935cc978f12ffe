namespace Fokker

/// Networks that say one number for each sample, a potential g(t, x), and the fields that are its gradient. A field is a gradient where its Jacobian is symmetric, as that
/// of a score is: what is learned through a potential is the score of a law, −∇E of an energy that can be asked for.
[<RequireQualifiedAccess>]
module EnergyNetwork =

    /// The setting of a network that says a potential.
    let internal setting = "potential"

    /// g(t, x) = ⟨x, y(t, x)⟩ [B] of a network's output y in x's shape, whatever its architecture. Every smooth g with g(t, 0) = 0 is of this form (Hadamard's lemma); ∇g = y + (∂y/∂x)ᵀ x
    /// says y directly, so that a potential is learned as the network's field would be (Wang, Du 2025, Equilibrium matching, section 3.3, the dot-product form).
    let ofNetwork (network: Network) : Network =
        { network with
            Settings = network.Settings @ [ setting, "dot" ]
            Apply =
                fun parameters ->
                    let network = network.Apply parameters

                    fun condition ->
                        let network = network condition
                        fun t x -> Tensor.sumRows (x * network t x) }

    /// Whether a network says a potential, by its settings.
    let internal isAmong (settings: Map<string, string>) : bool = Map.containsKey setting settings

    /// ∇ₓ g(t, x), in the shape of x: each sample's potential is a function of that sample alone.
    let gradient (potential: Field) : Field = fun t x -> Diff.grad (fun x -> Tensor.sum (potential t x)) x

    /// g(t, x) and ∇ₓ g(t, x), by one evaluation.
    let valueAndGradient (potential: Field) (t: Tensor) (x: Tensor) : struct (Tensor * Tensor) =
        let _, gradients, value =
            Diff.valueAndGrads
                (fun xs ->
                    let value = potential t xs[0]
                    Tensor.sum value, value)
                [| x |]

        struct (value, gradients[0])

    /// E(t, x) [B] with −∇E = ∇log p_t where ∇g is a prediction on a Gaussian path: the score is c x + k ∇g, so E = −½ c ‖x‖² − k g, up to a function of t.
    let energy (path: GaussianPath) (prediction: Prediction) (potential: Field) : Field =
        let convert = Prediction.converter path prediction Prediction.score

        fun t x ->
            let struct (c, k) = convert t
            let half = 0.5 * Tensor.sumRows (Tensor.square x)
            -(Coefficient.combine [ c, half; k, potential t x ])
