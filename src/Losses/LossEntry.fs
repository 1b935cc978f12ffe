namespace Fokker

/// What a trained teacher's network says, and whether it was told classes and none by turns.
[<NoComparison; NoEquality>]
type TeacherTrained = { Output: NetworkOutput; HasNull: bool }

/// What a loss may be made of. A loss takes what it has use for; the command line refuses the rest.
[<NoComparison; NoEquality>]
type Parts =
    {
        Path: GaussianPath
        Prediction: Prediction
        Weight: Weight
        Times: Times
        Coupling: Coupling
        /// The law of x₁; none for N(0, I).
        Source: (Rng -> Tensor -> Tensor) option
        /// ∇log of its density, for a loss whose source is in the data's units (`LossEntry.MeetsSource`), in the network's; none for N(0, I), or where the density is not known.
        SourceScore: (Tensor -> Tensor) option
        /// The model that a distillation learns from, or that a tuning towards a reward begins at.
        Teacher: Model option
        /// What its network says, where it was trained.
        TeacherTrained: TeacherTrained option
        /// What makes the pairs of a batch, where a run does and no coupling.
        Pairs: (Rng -> Batch -> Batch) option
        /// What samples are to have more of, in the network's units, and how strongly: λ.
        Reward: (Reward * float) option
        /// Steps of the whole training, for schedules.
        Steps: int64
        /// Coordinates of a sample.
        Dimension: int
        /// Whether the network learns what no class looks like besides the classes.
        HasNull: bool
    }

/// A loss that can be trained with, by name.
[<NoComparison; NoEquality>]
type LossEntry =
    {
        Name: string
        /// What it does, in one sentence that spells out what the name abbreviates.
        Summary: string
        Equation: string
        Reference: string
        /// The parts that it is made of besides the network, each with the one that it has unless another is asked for; none keeps what the data set brings.
        Uses: (Setting * PartName option) list
        Make: Parts -> Objective
    }

    /// Whether what is trained begins at the teacher's parameters: it uses `Setting.Begin`.
    member loss.BeginsAtTeacher = loss.Uses |> List.exists (fst >> (=) Setting.Begin)

    /// Whether a process leads from the data to the source, so that both are points of one space, in the data's units: it uses a source and no coupling. Where points of both are paired, each law is in units of its own.
    member loss.MeetsSource =
        let uses setting = loss.Uses |> List.exists (fst >> (=) setting)
        uses Setting.Source && not (uses Setting.Coupling)

    /// Whether it tunes the model that training begins at towards a reward.
    member loss.Tunes = loss.Uses |> List.exists (fst >> (=) Setting.Reward)

/// What the entries of several losses have in common.
[<RequireQualifiedAccess>]
module LossEntry =

    let make name summary equation reference uses make : LossEntry =
        { Name = name
          Summary = summary
          Equation = equation
          Reference = reference
          Uses = uses
          Make = make }

    /// The part that a loss has unless another is asked for.
    let usual (name: string) : PartName option = Some(PartName.plain name)

    /// The trace of a Jacobian that a loss takes: the sum over its diagonal in up to 8 coordinates, above Hutchinson's estimate of one probe.
    let trace (parts: Parts) : Trace = if parts.Dimension <= 8 then Trace.exact else Trace.rademacher 1

    let teacherOf (name: string) (parts: Parts) : Model =
        match parts.Teacher with
        | Some model -> model
        | None -> refuse Setting.Loss name $"it learns from a trained model: name one with {Setting.Teacher}"

    /// What is distilled says the data at every time: of noise that is nearly all noise, an estimate of the noise says nothing of it.
    let requireDenoiser name (teacher: Model) =
        if teacher.Prediction.Name = Prediction.noise.Name || teacher.Prediction.Name = Prediction.score.Name then
            refuseWith
                Setting.Teacher
                teacher.Prediction.Name
                $"{name} needs a model whose estimate of the data stays finite at the noisy end, and one that says {teacher.Prediction.Name} multiplies its error by σ/α there, which is unbounded"
                $"distil a model that says data, v or velocity"
