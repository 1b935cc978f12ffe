namespace Fokker

/// An autoencoder that has been trained, as a map of data: what stands between the numbers of a sample and those that another network learns, its latents.
[<NoComparison; NoEquality>]
type LatentSpace =
    {
        /// An `Autoencoder`'s.
        Network: Network
        Parameters: Tensor[]
        /// The shape of a latent.
        Shape: int list
        /// How latents and the numbers that the other network sees are related: these have mean 0 and variance 1.
        Units: Units
    }

    interface IHoldTensors with
        member space.Visit visit = Array.iter visit space.Parameters

[<RequireQualifiedAccess; CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module LatentSpace =

    /// That of an autoencoder's network, its latents as they are. Raises FormatException or KeyNotFoundException where the network is none.
    let ofNetwork (network: Network) (parameters: Tensor[]) : LatentSpace =
        { Network = network
          Parameters = parameters
          Shape = Autoencoder.latentShape (Autoencoder.ofSettings (Map.ofList network.Settings))
          Units = Units.Same }

    /// Whether states of two models are of one kind: samples of both, or latents of the same autoencoder in the same units.
    let same (a: LatentSpace option) (b: LatentSpace option) : bool =
        match a, b with
        | None, None -> true
        | Some a, Some b ->
            a.Network.Settings = b.Network.Settings
            && a.Units = b.Units
            && Array.forall2 (fun (p: Tensor) (q: Tensor) -> Tensor.same p (q.To p.Kind)) a.Parameters b.Parameters
        | _ -> false

    let private field (space: LatentSpace) : Field = space.Network.Apply space.Parameters None
    let private kind (space: LatentSpace) = space.Parameters[0].Kind

    /// In pieces of a hundred samples, float64 on the device that they were on.
    let private byPieces (space: LatentSpace) (change: Field -> int -> Tensor -> Tensor) (x: Tensor) : Tensor =
        let field = field space

        [ for first in 0..100 .. x.Shape[0] - 1 ->
              Scope.run (fun () ->
                  let own = (Tensor.narrow 0 first (min 100 (x.Shape[0] - first)) x).To(kind space)
                  ((change field first own).To Dtype.Float64).To x.Kind.Device) ]
        |> Tensor.cat 0

    /// What the decoder makes of what the other network says, y [n; latent] ↦ m(z) [n; …] in the encoder's units, z the latent of y.
    let decode (space: LatentSpace) (y: Tensor) : Tensor =
        byPieces
            space
            (fun field _ y ->
                let struct (m, _) = Autoencoding.likelihood field (Units.toData space.Units y)
                m)
            y

    /// The mean of each sample's latent, in the numbers of the other network: the inverse of `decode` as far as there is one.
    let encode (space: LatentSpace) (x: Tensor) : Tensor =
        byPieces
            space
            (fun field _ x ->
                let struct (mean, _) = Autoencoding.posterior field x
                Units.toNetwork space.Units mean)
            x

    /// A latent drawn for each sample x [n; …] in the encoder's units, row i by the key and i alone: its state y, log p(x | z) in nats of x, and −log q of the state. With log p(y) these are, in the
    /// mean over draws, a lower bound on log p(x).
    let drawn (space: LatentSpace) (rng: Rng) (x: Tensor) : struct (Tensor * Tensor * Tensor) =
        let field = field space
        let wide (x: Tensor) = x.To Dtype.Float64

        let piece (first: int) =
            let n = min 100 (x.Shape[0] - first)
            let own = (Tensor.narrow 0 first n x).To(kind space)
            let noise = Rng.normal (kind space) (n :: space.Shape) (Rng.rows (int64 first) rng)
            let struct (_, logVariance) as q = Autoencoding.posterior field own
            let z = Autoencoding.draw q noise
            let struct (m, logS) = Autoencoding.likelihood field z

            // −log q(z) = ½ Σ (log 2π σ² + ε²).
            let surprise =
                Autoencoding.entropy (wide logVariance) + 0.5 * Tensor.sumRows (Tensor.square (wide noise) - 1.0)

            [ wide (Units.toNetwork space.Units z)
              Autoencoding.logDensity (wide own) (struct (wide m, wide logS))
              surprise - Units.logVolume space.Units (List.fold (*) 1 space.Shape) ]

        let pieces = [ for first in 0..100 .. x.Shape[0] - 1 -> Scope.run (fun () -> piece first) ]
        let all k = pieces |> List.map (List.item k) |> Tensor.cat 0
        struct (all 0, all 1, all 2)

    /// The batch whose samples are latents in their place, drawn for each: what another network learns of them.
    let batch (space: LatentSpace) (rng: Rng) (batch: Batch) : Batch =
        let field = field space

        { batch with
            Data =
                Scope.run (fun () ->
                    let q = Autoencoding.posterior field batch.Data
                    let struct (mean, _) = q
                    Units.toNetwork space.Units (Autoencoding.draw q (Rng.normalLike mean rng))) }

    /// The space with units in which these samples' latents have mean 0 and variance 1: of vectors each number for itself, of images all alike.
    let standardized (space: LatentSpace) (x: Tensor) : LatentSpace =
        let z = encode { space with Units = Units.Same } (x.To Dtype.Float64)
        let rows = if space.Shape.Length = 1 then z else Tensor.reshape [ -1; 1 ] z
        let mean = Tensor.toFloats (Tensor.meanOver [ 0 ] rows)
        let variance = Tensor.toFloats (Tensor.varianceOver [ 0 ] 0 rows)
        // A number that says nothing of any sample is left at its prior's scale.
        { space with
            Units = { Shift = mean; Scale = variance |> Array.map (fun v -> if v > 1e-6 then sqrt v else 1.0) } }
