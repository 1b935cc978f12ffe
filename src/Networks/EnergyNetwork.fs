namespace Fokker

/// How the numbers that a network says of a sample become one.
[<RequireQualifiedAccess>]
type Head =
    /// ⟨x, y⟩. Every smooth g with g(0) = 0 is of this form (Hadamard's lemma); ∇g = y + (∂y/∂x)ᵀ x says y directly, so that a potential is learned as the network's field would be
    /// (Wang, Du 2025, Equilibrium matching, section 3.3).
    | Dot
    /// Σ yᵢ, which grows as the network does: of a perceptron no faster than ‖x‖.
    | Sum
    /// The mean of the yᵢ: a critic's.
    | Mean

/// Networks that say one number for each sample, a potential g(t, x), and the fields that are its gradient. A field is a gradient where its Jacobian is symmetric, as that
/// of a score is: what is learned through a potential is the score of a law, −∇E of an energy that can be asked for.
[<RequireQualifiedAccess>]
module EnergyNetwork =

    let private setting = "potential"
    let private heads = [ "dot", Head.Dot; "sum", Head.Sum; "mean", Head.Mean ]

    let private together (head: Head) (x: Tensor) (y: Tensor) : Tensor =
        match head with
        | Head.Dot -> Tensor.sumRows (x * y)
        | Head.Sum -> Tensor.sumRows y
        | Head.Mean -> Tensor.meanRows y

    /// g(t, x) [B] of a network whose output has x's shape, whatever its architecture. Its specs are the network's, and so are its first parameters.
    let ofNetwork (head: Head) : Network -> Network =
        Network.alike (fun network ->
            { network with
                Settings = network.Settings @ [ setting, heads |> List.find (snd >> (=) head) |> fst ]
                Apply =
                    fun parameters ->
                        let network = network.Apply parameters

                        fun condition ->
                            let network = network condition
                            fun t x -> together head x (network t x) })

    /// The head of a network that says a potential, by its settings; none of any other. Raises FormatException for one that is not known.
    let internal headOf (settings: Map<string, string>) : Head option =
        Map.tryFind setting settings
        |> Option.map (fun name ->
            match List.tryFind (fst >> (=) name) heads with
            | Some(_, head) -> head
            | None ->
                raise (System.FormatException $"its network says a potential by '{name}', which is not known here"))

    /// ∇ₓ g(t, x), in the shape of x: each sample's potential is a function of that sample alone.
    let gradient (potential: Field) : Field = fun t x -> Diff.grad (fun x -> Tensor.sum (potential t x)) x

    /// E(t, x) [B] with −∇E = ∇log p_t where ∇g is a prediction on a Gaussian path: the score is c x + k ∇g, so E = −½ c ‖x‖² − k g, up to a function of t.
    let energy (path: GaussianPath) (prediction: Prediction) (potential: Field) : Field =
        let convert = Prediction.converter path prediction Prediction.score

        fun t x ->
            let struct (c, k) = convert t
            let half = 0.5 * Tensor.sumRows (Tensor.square x)
            -(Coefficient.combine [ c, half; k, potential t x ])
