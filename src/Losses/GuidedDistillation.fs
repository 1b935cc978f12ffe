namespace Fokker

/// Distillation of guided models: a student that is told how far to guide says in one evaluation what its teacher says in two (Meng et al. 2023, On distillation of guided
/// diffusion models, section 3.1).
[<NoComparison; NoEquality>]
type GuidedDistillation =
    {
        /// A prediction of classes and of none.
        Teacher: Model
        /// The preconditioning that both networks are behind, if any.
        Preconditioning: Preconditioning option
        /// The range of w in y_null + (1 + w) (y_c − y_null).
        Least: float
        Most: float
        /// Of the error in what is predicted.
        Weight: Weight
        Times: Times
    }

[<RequireQualifiedAccess>]
module GuidedDistillation =

    let name = "guided"
    let equation = "E λ ‖(1 + w) y(c) − w y(∅) − ŷ(c, w)‖², w ~ U, y the teacher's"
    let reference = "Meng et al. 2023, On distillation of guided diffusion models, eq. 3"

    /// (1 + w) y(c) − w y(∅) for labels c [B] and weights w [B], in one call with twice the batch; y(∅) for the label −1, which is no class, and y where there are no labels.
    let target (network: Condition -> Field) (condition: Condition) (w: Tensor) (t: Tensor) (x: Tensor) : Tensor =
        match condition with
        | None -> network None t x
        | Some labels ->
            let none = Condition.nothing labels
            let again (a: Tensor) = Tensor.cat 0 [ a; a ]
            let both = network (Some(Tensor.cat 0 [ labels; none ])) (again t) (again x) |> Tensor.split x.Shape[0] 0
            let w = Tensor.perSample x w
            both[1] + (1.0 + w) * (both[0] - both[1])

    /// The squared error of what a student says at drawn times and weights.
    let loss (g: GuidedDistillation) : Loss =
        let path, prediction = g.Teacher.Path, g.Teacher.Prediction
        let draw = g.Times.Draw path
        let weight = g.Weight.Of path prediction
        let output = NetworkOutput.Guided(prediction, g.Preconditioning, g.Least, g.Most)
        let wrapped (field: Field) =
            g.Preconditioning |> Option.fold (fun field p -> Preconditioning.wrap p field) field

        fun context rng batch ->
            let n = batch.Data.Shape[0]
            let t = draw (Rng.named "times" rng) n
            let w = g.Least + (g.Most - g.Least) * Rng.uniform Kind.Float64 [ n ] (Rng.named "guidance" rng)
            let noise = Rng.normalLike batch.Data (Rng.named "noise" rng)
            let x = Path.sample path t batch.Data noise
            let wanted = Tensor.detach (target g.Teacher.Network batch.Label w t x)
            let said = wrapped (NetworkOutput.atKnob output w context.Network batch.Label) t x
            Coefficient.scale (Curve.at weight t) (Tensor.meanRows (Tensor.square (said - wanted.To(said.Dtype))))

    let objective (g: GuidedDistillation) : Objective =
        let output = NetworkOutput.Guided(g.Teacher.Prediction, g.Preconditioning, g.Least, g.Most)
        Objective.withOutput name equation reference g.Teacher.Path output (loss g)

    // ---- by name

    /// The loss as it is asked for: its name, its numbers and the parts that it is made of.
    let entry: Part<LossEntry> =
        Part.of2
            (Parameter.make "least" 0.0 Allowed.Real "the least weight w = guidance − 1")
            (Parameter.make "most" 4.0 Allowed.Real "the greatest weight w = guidance − 1")
            (fun least most ->
                if not (least < most) then
                    invalidArg "least" $"weights from {least} to {most}: expected the lesser first"

                LossEntry.make
                    name
                    "Distillation of a guided model: a student that is told how far to guide says in one evaluation what its teacher says in two."
                    $"{equation}; a teacher of classes, its network and a guidance weight, no derivatives"
                    reference
                    [ Setting.Teacher, None
                      Setting.Begin, None
                      Setting.Weight, LossEntry.usual "uniform"
                      Setting.Times, LossEntry.usual "uniform" ]
                    (fun parts ->
                        let teacher = LossEntry.teacherOf name parts

                        match parts.TeacherTrained with
                        | Some network when not network.HasNull ->
                            refuseWith
                                Setting.Teacher
                                ""
                                $"it was not told classes and none by turns, so there is nothing to guide between"
                                $"""take one trained with {Setting.Labels.Is "on"} and {Setting.LabelDropout.Is 0.1}"""
                        | _ -> ()

                        objective
                            { Teacher = teacher
                              Preconditioning =
                                parts.TeacherTrained
                                |> Option.bind (fun network ->
                                    match network.Output with
                                    | NetworkOutput.Prediction(_, p, _)
                                    | NetworkOutput.Guided(_, p, _, _) -> p
                                    | _ -> None)
                              Least = least
                              Most = most
                              Weight = parts.Weight
                              Times = parts.Times }))
