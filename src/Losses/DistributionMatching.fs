namespace Fokker

/// Distribution matching: a generator of one pass is moved along the difference of two scores, the teacher's and that of its own samples, which a second network learns as they change (Yin et al. 2024, One-step
/// diffusion with distribution matching distillation; Improved distribution matching distillation).
[<RequireQualifiedAccess>]
module DistributionMatching =

    /// What the other players call the network that learns the generator's own score.
    let fake = "fake"

    /// D_fake(x_t) − D_teacher(x_t): by s = (α D − x_t)/σ² a positive factor times ∇ log p_G − ∇ log p at x_t (Yin et al. 2024, One-step diffusion with distribution matching distillation, eq. 3).
    let difference (fake: Tensor) (teacher: Tensor) : Tensor = fake - teacher

    /// `difference` over σ/√(α² + σ²), the deviation of x₀ given x_t for data of unit variance: steps are of one size at all times. The paper divides by the mean of |x − D_teacher| over the
    /// coordinates of each sample (eq. 8), which in few dimensions is as near to 0 as it likes.
    let direction (path: GaussianPath) (t: Tensor) (fake: Tensor) (teacher: Tensor) : Tensor =
        let scale = ((path.Alpha ** 2.0) + path.Variance) ** 0.5 / path.Sigma
        Coefficient.scale (Curve.at scale t) (difference fake teacher)

    /// What a prediction at the end of the times [noisy; 0] of a teacher becomes: `turns` moves of the fake score before each of the generator's.
    let objective (teacher: Model) (turns: int) : Objective =
        let path, prediction = teacher.Path, teacher.Prediction
        let low, high = path.Interior
        let first, last = low + 0.02 * (high - low), low + 0.98 * (high - low)
        let made network (rng: Rng) (batch: Batch) =
            Adversarial.generate
                path
                prediction
                high
                network
                batch.Label
                (Rng.normalLike batch.Data (Rng.named "latent" rng))

        let generator: Loss =
            fun context rng batch ->
                let x = made context.Network rng batch
                let held = Tensor.detach x
                let t = Rng.uniform Kind.Float64 [ x.Shape[0] ] (Rng.named "times" rng) * (last - first) + first
                let noisy = Path.sample path t held (Rng.normalLike held (Rng.named "noise" rng))
                let says (model: Model) = (Model.denoiser model batch.Label t noisy).To held.Dtype
                let own = says (Model.make path prediction context.Others[fake])
                let step = Tensor.detach (direction path t own (says teacher))
                // ∇θ of it is ∂x/∂θ times the step.
                0.5 * Tensor.meanRows (Tensor.square (x - (held - step)))

        let learn = Loss.ofRegression (Loss.regression path |> Loss.predicting prediction)

        let follower: Loss =
            fun context rng batch ->
                let x = Tensor.detach (made context.Others[LossContext.main] rng batch)
                learn context (Rng.named "regression" rng) { batch with Data = x; Source = None }

        { Objective.predicting
              "dmd"
              $"½‖x − sg(x − √(α² + σ²)/σ (D_fake(x_t) − D_teacher(x_t)))‖², x = G(z), D_fake learned on x"
              "Yin et al. 2024, Improved distribution matching distillation, eq. 1; One-step diffusion with distribution matching distillation, eq. 3"
              path
              prediction
              generator with
            Players = [ { Name = fake; Role = Role.Twin; Turns = turns; Loss = follower } ]
            Jumps = [ high; 0.0 ] }

    // ---- by name

    /// The loss as it is asked for: its name, its numbers and the parts that it is made of.
    let entry: Part<LossEntry> =
        Part.of1
            (Parameter.make
                "turns"
                5.0
                (Allowed.Whole 1)
                "moves of the network that learns the generator's own score before each of the generator's")
            (fun turns ->
                let shown = objective (Model.make Path.condOT Prediction.velocity (fun _ _ x -> x)) 1

                LossEntry.make
                    shown.Name
                    "Distribution matching distillation: a generator of one pass, moved along the difference of its teacher's score and of its own samples' score."
                    $"{shown.Equation}; a teacher, its network and one time, no derivatives"
                    shown.Reference
                    [ Setting.Teacher, None; Setting.Begin, None ]
                    (fun parts ->
                        let teacher = LossEntry.teacherOf shown.Name parts
                        LossEntry.requireDenoiser shown.Name teacher
                        objective teacher (int turns)))
