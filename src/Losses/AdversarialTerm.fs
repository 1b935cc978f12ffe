namespace Fokker

/// An adversarial term beside a loss of few steps: a critic tells where a step of the student leads from where the data are at that time, and the student learns to be taken for them as well
/// (Kim et al. 2024, Consistency trajectory models, section 4.2; Lin, Wang, Yang 2024, SDXL-Lightning; Yin et al. 2024, DMD2).
[<RequireQualifiedAccess>]
module AdversarialTerm =

    /// Where one step of what an objective's samples take leads x [B; …] from times t [B] to s [B]: the jump of a map, or DDIM's step of a prediction.
    let jump
        (o: Objective)
        (network: Condition -> Field)
        (label: Condition)
        (t: Tensor)
        (s: Tensor)
        (x: Tensor)
        : Tensor =
        match o.Dynamics network with
        | Mapping { Domain = ToData; Map = map } -> map label t x
        | Mapping { Domain = Between _; Map = map } -> FlowMap.jump (map label) t s x
        | Denoising model ->
            let isData = Tensor.lessOrEqual s (Tensor.zerosLike s)

            /// α or σ at times; at 0 all is data.
            let at (curve: Curve) (limit: float) (time: Tensor) =
                let inside = Tensor.where isData t time
                let values = Tensor.where isData (Tensor.full time.Kind [] limit) (Curve.values curve inside)
                (Tensor.perSample x values).To x.Dtype

            let now (curve: Curve) = (Tensor.perSample x (Curve.values curve t)).To x.Dtype
            let alpha, sigma = o.Path.Alpha, o.Path.Sigma
            Progressive.ddim (Model.denoiser model label t x) (now alpha, now sigma) (at alpha 1.0 s, at sigma 0.0 s) x
        | Mapping { Domain = Ends _ }
        | Transport _
        | Landscape _
        | Jumping _ -> invalidArg (nameof o) $"{o.Name} learns no few steps to the data"

    /// One of the steps of an objective's samples for each of so many, from t to s [n]; none where its samples take as many steps as one likes.
    let private steps (o: Objective) : (LossContext -> Rng -> int -> struct (Tensor * Tensor)) option =
        let full (n: int) (time: float) = Tensor.full Kind.Float64 [ n ] time
        let always (t: float) (s: float) = Some(fun _ _ n -> struct (full n t, full n s))
        let isGenerator = o.Players |> List.exists (fun player -> player.Name = Adversarial.critic)

        match o.Output, o.Rounds, o.Jumps with
        | _ when isGenerator -> None
        | NetworkOutput.ConsistencyFunction _, _, _ -> always (snd o.Path.Interior) 0.0
        | NetworkOutput.MeanVelocity(noisy, clean, _), _, _ -> always noisy clean
        | (NetworkOutput.Prediction _ | NetworkOutput.Guided _), (_ :: _ as rounds), _ ->
            Some(fun context rng n ->
                let times = Array.ofList rounds[min context.Round (rounds.Length - 1)].Times
                let u = Tensor.toFloats (Rng.uniform Kind.Float64 [ n ] rng)
                let count = times.Length - 1
                let place = u |> Array.map (fun u -> min (count - 1) (int (u * float count)))
                let at offset = Tensor.ofArray [ n ] (place |> Array.map (fun k -> times[k + offset]))
                struct (at 0, at 1))
        | NetworkOutput.Prediction _, [], [ noisy; clean ] -> always noisy clean
        | _ -> None

    /// The objective with `weight` times the term beside it, E softplus(C(x_s) − C(X(t, s, x_t))) with C a critic of gradient penalty `gamma` that is told s: x_t and x_s are data under noise, X the
    /// student's step, at random one of those that its samples take. Where X has the law of the data C is constant, and the term has no gradient. A weight of 0 is the objective itself. Raises
    /// RefusedException where samples take as many steps as one likes, or there is a critic already.
    let beside (weight: float) (gamma: float) (o: Objective) : Objective =
        match steps o with
        | _ when weight = 0.0 -> o
        | None ->
            refuseWith
                Setting.Adversarial
                weight
                $"a critic goes beside a loss whose samples take few steps, and {o.Name} is none, or has one already"
                $"leave it out, or take a map (ct, meanflow), progressive or dmd"
        | Some steps ->
            let critic (network: Condition -> Field) (label: Condition) (time: Tensor) : Tensor -> Tensor =
                network label time

            /// A student's samples, data at the same times, and those times.
            let made (context: LossContext) (network: Condition -> Field) (rng: Rng) (batch: Batch) =
                let n = batch.Data.Shape[0]
                let struct (t, s) = steps context (Rng.named "step" rng) n
                let noisy (time: Tensor) (stream: string) =
                    Path.sample o.Path time batch.Data (Rng.normalLike batch.Data (Rng.named stream rng))

                let isData = Tensor.lessOrEqual s (Tensor.zerosLike s)
                let real = noisy (Tensor.where isData t s) "real"
                let ofSample =
                    (Tensor.reshape (n :: List.replicate (batch.Data.Rank - 1) 1) isData).To batch.Data.Device
                let real = Tensor.where ofSample batch.Data real
                struct ((jump o network batch.Label t s (noisy t "start")).To batch.Data.Dtype, real, s)

            let term: Loss =
                fun context rng batch ->
                    let struct (made, real, s) = made context context.Network rng batch
                    Adversarial.generatorLoss (critic context.Others[Adversarial.critic] batch.Label s) real made

            let critical: Loss =
                fun context rng batch ->
                    let struct (made, real, s) = made context context.Others[LossContext.main] rng batch
                    Adversarial.criticLoss gamma (critic context.Network batch.Label s) real (Tensor.detach made)

            { o with
                Equation = $"{o.Equation}; {weight} E softplus(C(x_s) − C(X)) beside it"
                Players = o.Players @ [ { Name = Adversarial.critic; Role = Role.Critic; Turns = 1; Loss = critical } ]
                Beta1 = Some 0.5
                Loss =
                    fun context rng batch ->
                        o.Loss context rng batch + weight * term context (Rng.named "adversary" rng) batch }
