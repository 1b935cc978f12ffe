namespace Fokker

/// Whether a method learns from a trained model.
[<RequireQualifiedAccess>]
type TeacherNeed =
    | Never
    | Optional
    | Always

/// On which path a method is.
[<RequireQualifiedAccess>]
type MethodPath =
    /// On the one that is asked for, or else on this one by its name; none keeps what the data set brings.
    | Open of string option
    /// On its own, or the teacher's.
    | Given

/// What a training gives a method that learns a map.
[<NoComparison; NoEquality>]
type MapSetting =
    {
        /// The teacher's where there is one.
        Path: GaussianPath
        Times: Times
        Teacher: Model option
        /// Steps of the whole training.
        Steps: int64
        /// How a divergence is found.
        Trace: Trace
    }

/// A method of the literature that learns a map along the flow: one setting of the parts, and the numbers that it leaves open.
[<NoComparison; NoEquality>]
type MapMethod =
    {
        /// What it learns, in a sentence.
        Summary: string
        Teacher: TeacherNeed
        Path: MethodPath
        /// The law of single times unless another is asked for, in its notation.
        Times: string
        Numbers: Parameter list
        Make: MapSetting -> float list -> MapMatching
    }

/// Every method that learns a map along the flow, each one setting of the same parts.
[<RequireQualifiedAccess>]
module MapMethods =

    let private steadily = Steadying.none

    /// Consistency training as it was first: N from 2 to 150, ‖·‖², every interval as often, an average as target.
    let private original (setting: MapSetting) (count: int64 -> int) : MapMatching =
        { Name = "ct"
          Reference = "Song et al. 2023, Consistency models, algorithm 3"
          Path = setting.Path
          Form = MapForm.ToData(Parametrized 1.0)
          Identity = Identity.Trajectory Tableau.heun
          Velocity = Tangent.OfSample
          Target = Averaged(Consistency.decay 2 0.9 count)
          Times = setting.Times
          Pairs =
            Pairs.neighbours
                "neighbours"
                "neighbours of a grid of N(k) times"
                "Song et al. 2023, Consistency models, section 5"
                Grid.karras
                count
                (fun _ _ -> 1.0)
          Weight = MapWeight.uniform
          Distance = Distance.squared
          Instants = 0.0
          Guidance = None
          Steadying = steadily
          LogDeterminant = None }

    /// A flow map of two times on a part of each batch, its velocity on the other.
    let private between name reference identity velocity (setting: MapSetting) (instants: float) : MapMatching =
        { Name = name
          Reference = reference
          Path = setting.Path
          Form = MapForm.MeanVelocity
          Identity = identity
          Velocity = velocity
          Target = Frozen
          Times = setting.Times
          Pairs = Pairs.ordered
          Weight = MapWeight.uniform
          Distance = Distance.squared
          Instants = instants
          Guidance = None
          Steadying = steadily
          LogDeterminant = None }

    let private teacher (setting: MapSetting) : Model =
        match setting.Teacher with
        | Some model -> model
        | None -> invalidArg (nameof setting) "a method that learns from a teacher, and none is there"

    let private distilled = "Boffi, Albergo, Vanden-Eijnden 2024, Flow map matching"
    let private selfDistilled = "Boffi, Albergo, Vanden-Eijnden 2025, How to build a consistency model"

    // ---- settings, as they are called from F#

    let private setting (path: GaussianPath) (teacher: Model option) (steps: int64) : MapSetting =
        { Path = path; Times = Times.uniform; Teacher = teacher; Steps = steps; Trace = Trace.exact }

    let private ct (s: MapSetting) = original s (Consistency.growing 2 150 s.Steps)

    /// Improved consistency training: N from 11 to 1281 by doubling, pseudo-Huber, log-normal noise, weight 1/Δς, no average.
    let private ict (s: MapSetting) =
        { original s (Consistency.doubling 10 1280 s.Steps) with
            Name = "ict"
            Reference = "Song, Dhariwal 2024, Improved consistency training"
            Pairs =
                Pairs.neighbours
                    "log-normal neighbours"
                    "neighbours of a grid of N(k) times, log ς ~ N(−1.1, 2²)"
                    "Song, Dhariwal 2024, Improved consistency training, section 3.5"
                    Grid.karras
                    (Consistency.doubling 10 1280 s.Steps)
                    (Consistency.logNormal -1.1 2.0)
            Weight = MapWeight.gap
            Distance = Distance.pseudoHuber
            Target = Frozen }

    /// Consistency distillation on a grid of so many times: the earlier point is where a step of the teacher's flow leads.
    let consistencyDistillation (count: int) (teacher: Model) =
        { original (setting teacher.Path (Some teacher) 1L) (fun _ -> count) with
            Name = "cd"
            Reference = "Song et al. 2023, Consistency models, algorithm 2"
            Velocity = Tangent.Taught teacher }

    let private ect (s: MapSetting) (q: float) (stages: int) =
        { original s (fun _ -> 2) with
            Name = "ect"
            Reference = "Geng et al. 2024, Consistency models made easy"
            Pairs = Pairs.easing q 8.0 1.0 stages s.Steps
            Weight = MapWeight.gap
            Distance = Distance.norm
            Target = Frozen }

    let private scm (s: MapSetting) (warmUp: int64) =
        { original s (fun _ -> 2) with
            Name = "scm"
            Reference =
                "Lu, Song 2024, Simplifying, stabilizing and scaling continuous-time consistency models, algorithm 1"
            Path = Path.trigonometric
            Form = MapForm.ToData Rotated
            Identity = Identity.Eulerian
            Velocity =
                match s.Teacher with
                | Some model ->
                    Tangent.Taught(
                        if model.Path.Name = Path.trigonometric.Name then
                            model
                        else
                            Paths.exchange Path.trigonometric model
                    )
                | None -> Tangent.OfSample
            Target = Frozen
            Pairs = Pairs.toData
            Weight = MapWeight.learned
            Steadying = { WarmUp = warmUp; Normalize = Some 0.1 } }

    /// Lagrangian map distillation.
    let lagrangian (teacher: Model) =
        between
            "lmd"
            distilled
            Identity.Lagrangian
            (Tangent.Taught teacher)
            (setting teacher.Path (Some teacher) 1L)
            0.25

    /// Eulerian map distillation.
    let eulerian (teacher: Model) =
        between "emd" distilled Identity.Eulerian (Tangent.Taught teacher) (setting teacher.Path (Some teacher) 1L) 0.25

    /// Lagrangian self-distillation: no teacher.
    let lagrangianSelf (path: GaussianPath) =
        between "lsd" selfDistilled Identity.Lagrangian Tangent.Own (setting path None 1L) 0.25

    /// Eulerian self-distillation: no teacher.
    let eulerianSelf (path: GaussianPath) =
        between "esd" selfDistilled Identity.Eulerian Tangent.Own (setting path None 1L) 0.25

    /// Progressive self-distillation: no teacher, no derivatives.
    let progressiveSelf (path: GaussianPath) =
        between "psd" selfDistilled Identity.Semigroup Tangent.Own (setting path None 1L) 0.25

    /// `progressiveSelf` with jumps of powers of two cut in their middle, the average as target and an eighth of the batch for jumps.
    let shortcut (path: GaussianPath) =
        { progressiveSelf path with
            Name = "shortcut"
            Reference = "Frans et al. 2024, One step diffusion via shortcut models"
            Target = Averaged(fun k -> min 0.999 ((1.0 + float k) / (10.0 + float k)))
            Pairs = Pairs.dyadic 7
            Instants = 0.875 }

    /// MeanFlow: the Eulerian identity with each sample's own velocity.
    let meanFlow (path: GaussianPath) =
        between
            "meanflow"
            "Geng et al. 2025, Mean flows, eq. 6–11"
            Identity.Eulerian
            Tangent.OfSample
            (setting path None 1L)
            0.25

    /// MeanFlow with its adaptive weight 1/(‖·‖² + c)^p; the plain square for p = 0.
    let meanFlowWeighted (p: float) (c: float) (path: GaussianPath) =
        if p = 0.0 then
            meanFlow path
        else
            { meanFlow path with Weight = MapWeight.adaptive p c; Distance = Distance.summed }

    /// A self-distilled flow map in both directions that learns its log-determinant beside it, by the same identity.
    let withLogDeterminant (trace: Trace) (path: GaussianPath) =
        { progressiveSelf path with
            Name = "f2d2"
            Reference =
                "Ai et al. 2025, Joint distillation for fast likelihood evaluation and sampling in flow-based models, section 3"
            Pairs = Pairs.bothWays
            LogDeterminant = Some trace }

    // ---- the list

    let private instants (share: float) =
        Parameter.make "instants" share (Allowed.Within(0.0, 1.0)) "the share of a batch that learns the velocity"

    let private guidance =
        [ Parameter.make "omega" 1.0 (Allowed.AtLeast 0.0) "ω of guidance inside the target; 1 with κ = 0 is none"
          Parameter.make
              "kappa"
              0.0
              (Allowed.Within(0.0, 0.99))
              "κ of guidance inside the target: it guides by ω/(1 − κ)" ]

    let private guided (omega: float) (kappa: float) (m: MapMatching) =
        { m with
            Guidance = if omega = 1.0 && kappa = 0.0 then None else Some { Omega = omega; Kappa = kappa } }

    let private toData summary need path times numbers make : MapMethod =
        { Summary = summary; Teacher = need; Path = path; Times = times; Numbers = numbers; Make = make }

    /// A setting on what a training gives.
    let private on (s: MapSetting) (m: MapMatching) = { m with Times = s.Times }

    let private ofTwoTimes summary need numbers make : MapMethod =
        { Summary = summary
          Teacher = need
          Path = (if need = TeacherNeed.Always then MethodPath.Given else MethodPath.Open None)
          Times = Times.uniform.Name
          Numbers = numbers
          Make = fun s numbers -> on s (make s numbers) }

    /// All of them, in the order in which lists show them.
    let all: MapMethod list =
        let edm = MethodPath.Open(Some Paths.edm.Name)

        [ toData
              "Consistency training: learns, without a teacher, a map from any time to the data that says the same all along a path."
              TeacherNeed.Never
              edm
              "uniform"
              []
              (fun s _ -> ct s)
          toData
              "Improved consistency training: consistency training with a robust distance, and times and weights to match."
              TeacherNeed.Never
              edm
              "uniform"
              []
              (fun s _ -> ict s)
          toData
              "Consistency distillation: a map from any time to the data that says the same all along a teacher's flow."
              TeacherNeed.Always
              MethodPath.Given
              "uniform"
              [ Parameter.make "times" 18.0 (Allowed.Whole 2) "N, the times of the grid" ]
              (fun s n -> consistencyDistillation (int n[0]) (teacher s))
          toData
              "Easy consistency tuning: consistency training that begins at a denoiser and brings the pairs of times nearer from stage to stage."
              TeacherNeed.Never
              edm
              "log-normal:mean=-1.1,std=2"
              [ Parameter.make "q" 2.0 (Allowed.AtLeast 1.0001) "how much nearer the pairs are from stage to stage"
                Parameter.make "stages" 8.0 (Allowed.Whole 1) "stages of the training" ]
              (fun s n -> ect s n[0] (int n[1]))
          toData
              "Continuous-time consistency: a map to the data whose change along the path is held at zero, from the data or from a teacher."
              TeacherNeed.Optional
              MethodPath.Given
              "log-normal:mean=-1,std=1.4"
              [ Parameter.make "warm-up" 1000.0 (Allowed.Whole 0) "steps over which the derivative comes in" ]
              (fun s n -> scm s (int64 n[0]))
          ofTwoTimes
              "Lagrangian map distillation: jumps between any two times, whose end moves with a teacher's velocity where it is."
              TeacherNeed.Always
              [ instants 0.25 ]
              (fun s n -> { lagrangian (teacher s) with Instants = n[0] })
          ofTwoTimes
              "Eulerian map distillation: jumps between any two times, whose end stays when the start moves along a teacher's flow."
              TeacherNeed.Always
              [ instants 0.25 ]
              (fun s n -> { eulerian (teacher s) with Instants = n[0] })
          ofTwoTimes
              "Lagrangian self-distillation: lmd with the velocity that the map itself has learned in the teacher's place."
              TeacherNeed.Never
              [ instants 0.25 ]
              (fun s n -> { lagrangianSelf s.Path with Instants = n[0] })
          ofTwoTimes
              "Eulerian self-distillation: emd with the velocity that the map itself has learned in the teacher's place."
              TeacherNeed.Never
              [ instants 0.25 ]
              (fun s n -> { eulerianSelf s.Path with Instants = n[0] })
          ofTwoTimes
              "Progressive self-distillation: learns that one jump equals two shorter ones."
              TeacherNeed.Never
              [ instants 0.25 ]
              (fun s n -> { progressiveSelf s.Path with Instants = n[0] })
          ofTwoTimes
              "Shortcut model: learns a jump of 1, ½, ¼, … of the way as two of half the length, down to the velocity."
              TeacherNeed.Never
              ([ instants 0.875
                 Parameter.make "levels" 7.0 (Allowed.Whole 1) "the shortest jump is 2^−(levels − 1) of the way" ]
               @ guidance)
              (fun s n -> { shortcut s.Path with Instants = n[0]; Pairs = Pairs.dyadic (int n[1]) } |> guided n[2] n[3])
          ofTwoTimes
              "Mean flow: learns the average velocity between two times by the identity that ties it to the velocity at one of them."
              TeacherNeed.Never
              ([ instants 0.25
                 Parameter.make
                     "power"
                     0.0
                     (Allowed.AtLeast 0.0)
                     "p of the adaptive weight 1/(d + c)^p; the paper's is 1"
                 Parameter.make "offset" 0.01 Allowed.Positive "c of the adaptive weight" ]
               @ guidance)
              (fun s n -> { meanFlowWeighted n[1] n[2] s.Path with Instants = n[0] } |> guided n[3] n[4])
          ofTwoTimes
              "Joint distillation of a flow map and of its log-determinant: samples and log-densities in a few evaluations."
              TeacherNeed.Never
              [ instants 0.25 ]
              (fun s n -> { withLogDeterminant s.Trace s.Path with Instants = n[0] }) ]
