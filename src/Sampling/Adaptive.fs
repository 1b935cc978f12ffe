namespace Fokker

open System

/// What an adaptive integration is held to: a step stands where its estimated error e has
/// √(mean over a sample's coordinates of (e/(Absolute + Relative·|x|))²) ≤ 1, for each sample by itself.
type Tolerance =
    {
        Relative: float
        Absolute: float
        /// The part of the step that the estimate allows which is taken.
        Safety: float
        /// How much shorter or longer than a step the next one may be.
        Change: float * float
        /// No step is longer than this.
        LargestStep: float
        /// Steps of a sample, refused ones included.
        MostSteps: int
    }

[<RequireQualifiedAccess>]
module Tolerance =

    /// Raises ArgumentException where a number is not positive and finite.
    let make (relative: float) (absolute: float) : Tolerance =
        for name, value in [ nameof relative, relative; nameof absolute, absolute ] do
            if not (value > 0.0 && Double.IsFinite value) then
                invalidArg name $"{name} tolerance {value}: expected a positive number"

        { Relative = relative
          Absolute = absolute
          Safety = 0.9
          Change = (0.2, 5.0)
          LargestStep = infinity
          MostSteps = 10000 }

    /// The same number for both: right for data of size one.
    let both (tolerance: float) = make tolerance tolerance

    /// The tightest that a field in this element type supports. Its rounding enters the estimate as if it were the method's error, and
    /// shorter steps do not make it smaller relative to the step: below this the solver only makes more of them.
    let tightest (dtype: Dtype) : float =
        match dtype with
        | Dtype.Float64 -> 1e-13
        | Dtype.Float32 -> 1e-6
        | _ -> 1e-2

/// What an adaptive integration found.
[<NoComparison; NoEquality>]
type Solution =
    {
        Times: float[]
        /// The state at each of the times: [B; …], float64.
        States: Tensor[]
        /// Evaluations of the field for each sample, steps that stood, and steps that were refused.
        Evaluations: int[]
        Accepted: int[]
        Rejected: int[]
        /// Calls of the field, each on all samples that are not done.
        Calls: int
    }

    /// The state at the last time.
    member s.Final = s.States[s.States.Length - 1]

/// Where one sample stands.
[<Struct>]
type private Clock =
    {
        /// Its place in the batch.
        Row: int
        Time: float
        /// The signed step to try next.
        Step: float
        /// Estimated error of the last step that stood, in tolerances; none before the first.
        LastError: float voption
        /// The step before was refused.
        Refused: bool
        /// The place of the next time asked for.
        Next: int
        Evaluations: int
        Accepted: int
        Rejected: int
    }

/// States of some samples at one of the times asked for.
[<NoComparison; NoEquality>]
type private Piece = { Place: int; Rows: int[]; X: Tensor }

/// The samples that are still on their way.
[<NoComparison; NoEquality>]
type private Moving =
    {
        Clocks: Clock[]
        X: Tensor
        /// v(t, x): the first stage of the next step.
        Slope: Tensor
        Found: Piece list
        Done: Clock list
        Calls: int
    }

    // The scope need not look through the clocks.
    interface IHoldTensors with
        member m.Visit visit =
            visit m.X
            visit m.Slope

            for piece in m.Found do
                visit piece.X

/// Explicit Runge–Kutta methods that choose their steps: every sample has a time, a step and an error of its own, so a neighbour in
/// the batch changes nothing, and samples that are done leave the batch.
[<RequireQualifiedAccess>]
module Adaptive =

    let private column (values: float[]) = Tensor.ofArray [ values.Length ] values

    let private select (places: int[]) (x: Tensor) =
        let index = Tensor.ofArray [ places.Length ] (Array.map int64 places)
        Tensor.indexSelect 0 (index.To x.Device) x

    /// √(mean of squares) over everything but the batch, [B; …] ↦ [B]. Coordinates are added in pairs, so that the sum's rounding is that of
    /// the sample alone, and the smallest there is.
    let rootMeanSquare (x: Tensor) : Tensor =
        let rec total (x: Tensor) =
            match x.Shape[1] with
            | 1 -> Tensor.select 1 0 x
            | d ->
                let half = d / 2
                let pairs = Tensor.narrow 1 0 half x + Tensor.narrow 1 half half x
                total (if d % 2 = 0 then pairs else Tensor.cat 1 [ pairs; Tensor.narrow 1 (d - 1) 1 x ])

        let rows = Tensor.flattenRows x
        sqrt (total (Tensor.square rows) * (1.0 / float rows.Shape[1]))

    /// Σ cᵢ kᵢ over the terms that count.
    let private combination (coefficients: float seq) (slopes: Tensor seq) : Tensor =
        Seq.zip coefficients slopes
        |> Seq.filter (fun (c, _) -> c <> 0.0)
        |> Seq.map (fun (c, k) -> if c = 1.0 then k else c * k)
        |> Seq.reduce (+)

    /// An embedded method as the driver needs it.
    [<NoComparison; NoEquality>]
    type private Method =
        {
            Tableau: Tableau
            Nodes: float[]
            Rows: float list[]
            Errors: float list list
            /// The estimate is O(h^k).
            EstimateOrder: float
        }

    let private methodOf (tableau: Tableau) : Method =
        let tableau = Tableau.endingWithSlope tableau
        let errors = tableau.ErrorWeights

        let order =
            match errors |> List.map (fst >> min tableau.Order) with
            | [] ->
                invalidArg
                    (nameof tableau)
                    $"{tableau.Name} has no embedded weights to estimate its error with: take one that has, such as dormand-prince"
            | [ one ] -> one + 1
            // |e₁|²/√(|e₁|² + |e₂|²/100): where e₂ rules, h^{2(p₁ + 1)}/h^{p₂ + 1}.
            | first :: second :: _ -> 2 * (first + 1) - (second + 1)

        { Tableau = tableau
          Nodes = Array.ofList tableau.Nodes
          Rows = Array.ofList tableau.Stages
          Errors = List.map snd errors
          EstimateOrder = float order }

    /// The stages of a step from x, of which the first is given; the last is the slope at the step's end x', the last state it was evaluated at.
    let private stages (method: Method) (field: Field) (t: Tensor) (until: Tensor) (h: Tensor) (x: Tensor) first =
        let slopes = Collections.Generic.List<Tensor>([ first ])
        let mutable inner = x

        for i in 1 .. method.Rows.Length - 1 do
            inner <- x + h * combination method.Rows[i] slopes
            let time = if method.Nodes[i] = 1.0 then until else t + method.Nodes[i] * (until - t)
            slopes.Add(field time inner)

        struct (inner, slopes)

    /// The error in tolerances, one number a sample; NaN where the step's end or its slope is not finite. Two estimates are combined as
    /// Hairer, Nørsett and Wanner do for DOP853 (1993, section II.10).
    let private errorOf
        (tolerance: Tolerance)
        norm
        (method: Method)
        (h: Tensor)
        (x: Tensor)
        (x': Tensor)
        (slopes: Tensor seq)
        =
        let larger = Tensor.maximum (abs x) (abs x')
        let scale = larger * tolerance.Relative + tolerance.Absolute
        // 0 · ∞ is NaN.
        let mark = 0.0 * (x' + Seq.last slopes)
        let size weights = norm ((h * combination weights slopes + mark) / scale) |> Tensor.toFloats

        match List.map size method.Errors with
        | [ one ] -> one
        | sizes ->
            Array.map2
                (fun first second ->
                    if first = 0.0 && second = 0.0 then
                        0.0
                    else
                        first * first / Math.Sqrt(first * first + 0.01 * second * second))
                sizes[0]
                sizes[1]

    /// The clock after a step of the given error: a proportional–integral controller with the exponents 0.7/k and 0.4/k (Gustafsson 1991,
    /// eq. 4.2; Hairer, Wanner 1996, section IV.2); the integral part alone after a refusal, and no longer step right after one.
    let private advanced (tolerance: Tolerance) (k: float) (evaluations: int) (until: float) (error: float) (c: Clock) =
        let least, most = tolerance.Change
        let h = until - c.Time
        let c = { c with Evaluations = c.Evaluations + evaluations }

        if error <= 1.0 then
            let trend =
                match c.LastError with
                | ValueSome last when not c.Refused -> Math.Pow(last, 0.4 / k) * Math.Pow(error, 0.3 / k)
                | _ -> 1.0

            let change = if error > 0.0 then tolerance.Safety * trend * Math.Pow(error, -1.0 / k) else infinity

            { c with
                Time = until
                Step = h * Math.Clamp(change, least, (if c.Refused then 1.0 else most))
                // An estimate of next to nothing says nothing about the trend.
                LastError = ValueSome(Math.Max(error, 1e-4))
                Refused = false
                Accepted = c.Accepted + 1 }
        else
            let change = if Double.IsFinite error then tolerance.Safety * Math.Pow(error, -1.0 / k) else least

            { c with Step = h * Math.Clamp(change, least, 1.0); Refused = true; Rejected = c.Rejected + 1 }

    /// Where the next step of a sample ends: at the last time, rather than a hair before it.
    let private target (tolerance: Tolerance) (last: float) (c: Clock) : float =
        let h = Math.CopySign(Math.Min(abs c.Step, tolerance.LargestStep), c.Step)
        if abs (last - c.Time) <= 1.01 * abs h then last else c.Time + h

    let private failed (c: Clock) (until: float) reason remedy : Failure =
        { Failure.Step = c.Accepted + c.Rejected
          From = c.Time
          To = until
          Reason = $"sample {c.Row}: {reason}"
          Remedy = remedy }

    let private notFinite = "the field gives NaN or ∞ there"
    let private tamer = "end at a later time, where the field is tame, or take a field that is finite everywhere"

    /// Why a sample cannot take the step that its clock asks for, on a way of this length.
    let private trouble (tolerance: Tolerance) (way: float) (error: float) (c: Clock) : Failure option =
        let next = c.Time + c.Step

        // float64 tells times near 0 apart down to 10⁻³²⁴: a step would shrink hundreds of times before it met them.
        if abs c.Step < Math.Max(10.0 * (Math.BitIncrement(abs c.Time) - abs c.Time), 1e-20 * way) then
            Some(
                if Double.IsFinite error then
                    failed
                        c
                        next
                        "the step shrank to what float64 can tell apart"
                        "loosen the tolerance, or end before this time"
                else
                    failed c next notFinite tamer
            )
        elif c.Accepted + c.Rejected >= tolerance.MostSteps then
            Some(
                failed c next $"{tolerance.MostSteps} steps were not enough" "loosen the tolerance, or allow more steps"
            )
        else
            None

    /// The first step (Hairer, Nørsett, Wanner 1993, section II.4): one by the sizes of x and of its slope, corrected by how fast the slope changes.
    let private start (tolerance: Tolerance) norm (method: Method) (field: Field) (times: float[]) (x: Tensor) =
        let first, last = times[0], times[times.Length - 1]
        let way, sign = abs (last - first), float (Math.Sign(last - first))
        let n = x.Shape[0]
        let slope = field (column (Array.create n first)) x
        let scale = abs x * tolerance.Relative + tolerance.Absolute
        let size (y: Tensor) : float[] = Tensor.toFloats (norm (y / scale))
        let d0, d1 = size x, size slope

        let guess =
            Array.map2 (fun d0 d1 -> Math.Min(way, if d0 < 1e-5 || d1 < 1e-5 then 1e-6 else 0.01 * d0 / d1)) d0 d1

        let h = column (guess |> Array.map (fun h -> sign * h))
        let second = field (first + h) (x + Tensor.perSample x h * slope)
        let d2 = Array.map2 (/) (size (second - slope)) guess

        let clocks =
            Array.init n (fun i ->
                let steepest = Math.Max(d1[i], d2[i])

                let next =
                    if steepest <= 1e-15 then
                        Math.Max(1e-6, guess[i] * 1e-3)
                    else
                        Math.Pow(0.01 / steepest, 1.0 / method.EstimateOrder)

                // A slope that is not finite at the guess says only that the guess was too long.
                let h = if Double.IsFinite next then Math.Min(100.0 * guess[i], next) else 1e-3 * guess[i]

                { Row = i
                  Time = first
                  Step = sign * Math.Min(h, way)
                  LastError = ValueNone
                  Refused = false
                  Next = 1
                  Evaluations = 2
                  Accepted = 0
                  Rejected = 0 })

        match Seq.tryFindIndex (fun (a, b) -> not (Double.IsFinite(a + b))) (Seq.zip d0 d1) with
        | Some i ->
            let what = if Double.IsFinite d0[i] then notFinite else "the state it starts from is not finite"
            Error(failed clocks[i] first what tamer)
        | None ->
            Ok
                { Clocks = clocks
                  X = x
                  Slope = slope
                  Found = [ { Place = 0; Rows = Array.init n id; X = x } ]
                  Done = []
                  Calls = 2 }

    /// The states at the times asked for that lie within the step of the places given, and the clocks that know of them. The steps' own
    /// stages serve all of them; what the dense output needs besides is computed once.
    let private within
        (method: Method)
        (fieldOf: int[] -> Field)
        (times: float[])
        (places: int[])
        (clocks: Clock[])
        (untils: float[])
        (x: Tensor)
        (slopes: Tensor seq)
        : Piece list =
        let dense = method.Tableau.Dense
        let from, until = places |> Array.map (fun i -> clocks[i].Time), places |> Array.map (fun i -> untils[i])
        let sign = float (Math.Sign(until[0] - from[0]))
        let x = select places x
        let h = Tensor.perSample x (column (Array.map2 (-) until from))
        let slopes = Collections.Generic.List<Tensor>(slopes |> Seq.map (select places))
        let field = lazy fieldOf (places |> Array.map (fun i -> clocks[i].Row))

        for node, row in List.zip dense.Nodes dense.Stages do
            let time = column (Array.map2 (fun a b -> a + node * (b - a)) from until)
            slopes.Add(field.Value time (x + h * combination row slopes))

        [ for place in 1 .. times.Length - 2 do
              let here =
                  [| for k in 0 .. places.Length - 1 do
                         if sign * from[k] < sign * times[place] && sign * times[place] <= sign * until[k] then
                             k |]

              if here.Length > 0 then
                  let weights =
                      here
                      |> Array.map (fun k ->
                          dense.Weights((times[place] - from[k]) / (until[k] - from[k])) |> Array.ofList)

                  let x, h = select here x, select here h
                  let by i k = Tensor.perSample x (column (weights |> Array.map (fun w -> w[i]))) * select here k

                  { Place = place
                    Rows = here |> Array.map (fun k -> clocks[places[k]].Row)
                    X = x + h * (slopes |> Seq.mapi by |> Seq.reduce (+)) } ]

    /// One attempt at a step of every sample that is not done.
    let private attempt
        (tolerance: Tolerance)
        norm
        (method: Method)
        (fieldOf: int[] -> Field)
        (times: float[])
        (state: Moving)
        : Result<Moving, Failure> =
        let last = times[times.Length - 1]
        let clocks = state.Clocks
        let untils = clocks |> Array.map (target tolerance last)
        let t, until = column (clocks |> Array.map _.Time), column untils
        let h = Tensor.perSample state.X (until - t)
        let field = fieldOf (clocks |> Array.map _.Row)
        let struct (x', slopes) = stages method field t until h state.X state.Slope
        let errors = errorOf tolerance norm method h state.X x' slopes
        let n = method.Rows.Length - 1
        let stands = errors |> Array.map (fun e -> e <= 1.0)

        // How many of the times asked for a step has passed, the last one excepted: it is a step's end.
        let sign = float (Math.Sign(last - times[0]))

        let passed i =
            if not stands[i] then
                0
            else
                Seq.init (times.Length - 1 - clocks[i].Next) (fun k -> times[clocks[i].Next + k])
                |> Seq.takeWhile (fun t -> sign * t <= sign * untils[i])
                |> Seq.length

        let passes = Array.init clocks.Length passed
        let passing = [| 0 .. clocks.Length - 1 |] |> Array.filter (fun i -> passes[i] > 0)
        let extra = method.Tableau.Dense.Nodes.Length

        let found = if passing.Length = 0 then [] else within method fieldOf times passing clocks untils state.X slopes

        let clocks =
            Array.init clocks.Length (fun i ->
                let evaluations = if passes[i] > 0 then n + extra else n
                let c = advanced tolerance method.EstimateOrder evaluations untils[i] errors[i] clocks[i]
                { c with Next = c.Next + passes[i] })

        let standing (after: Tensor) (before: Tensor) =
            if Array.forall id stands then
                after
            else
                let mask = column (stands |> Array.map (fun s -> if s then 1.0 else 0.0))
                Tensor.where (Tensor.perSample before mask |> Tensor.atLeast 0.5) after before

        let finished, going = [| 0 .. clocks.Length - 1 |] |> Array.partition (fun i -> clocks[i].Time = last)

        match going |> Array.tryPick (fun i -> trouble tolerance (abs (last - times[0])) errors[i] clocks[i]) with
        | Some failure -> Error failure
        | None ->
            let keep (x: Tensor) = if finished.Length = 0 then x else select going x

            let arrived =
                if finished.Length = 0 then
                    []
                else
                    [ { Place = times.Length - 1
                        Rows = finished |> Array.map (fun i -> clocks[i].Row)
                        X = select finished x' } ]

            Ok
                { Clocks = going |> Array.map (fun i -> clocks[i])
                  X = keep (standing x' state.X)
                  Slope = keep (standing slopes[n] state.Slope)
                  Found = arrived @ found @ state.Found
                  Done = [ for i in finished -> clocks[i] ] @ state.Done
                  Calls = state.Calls + n + (if passing.Length > 0 then extra else 0) }

    /// The pieces of each time, put together in the order of the batch.
    let private solution (times: float[]) (state: Moving) : Solution =
        let clocks = state.Done |> List.sortBy _.Row |> Array.ofList

        let states =
            [| for place in 0 .. times.Length - 1 ->
                   let pieces = state.Found |> List.filter (fun p -> p.Place = place)
                   let order =
                       pieces |> List.map _.Rows |> Array.concat |> Array.indexed |> Array.sortBy snd |> Array.map fst
                   select order (Tensor.cat 0 (pieces |> List.map _.X)) |]

        { Times = times
          States = states
          Evaluations = clocks |> Array.map _.Evaluations
          Accepted = clocks |> Array.map _.Accepted
          Rejected = clocks |> Array.map _.Rejected
          Calls = state.Calls }

    let private check (times: float[]) (x: Tensor) =
        if times.Length < 2 then
            invalidArg (nameof times) $"{times.Length} times: at least a first and a last"

        let sign = Math.Sign(times[1] - times[0])

        if sign = 0 || times |> Seq.pairwise |> Seq.exists (fun (a, b) -> Math.Sign(b - a) <> sign) then
            invalidArg (nameof times) "times: expected to rise or to fall throughout"

        if x.Rank < 2 || x.Count = 0L then
            invalidArg (nameof x) $"{x.Describe()}: expected samples [B; …] of one coordinate or more"

    /// As `runRows`, with the size of a sample's error and state measured by `norm` [B; …] ↦ [B] in place of `rootMeanSquare`: a state
    /// of several parts may ask for each to meet the tolerance.
    let runRowsBy
        (norm: Tensor -> Tensor)
        (tolerance: Tolerance)
        (tableau: Tableau)
        (fieldOf: int[] -> Field)
        (times: float[])
        (x: Tensor)
        : Result<Solution, Failure> =
        check times x
        let method = methodOf tableau

        Scope.run (fun () ->
            let x = Tensor.clone (x.To Dtype.Float64)
            let mutable result =
                Scope.run (fun () -> start tolerance norm method (fieldOf [| 0 .. x.Shape[0] - 1 |]) times x)

            let going () =
                match result with
                | Ok state -> state.Clocks.Length > 0
                | Error _ -> false

            while going () do
                result <- Scope.next (Result.bind (attempt tolerance norm method fieldOf times)) result

            Result.map (solution times) result)

    /// As `run`, for a field that knows which samples it is given: `fieldOf` turns places in the batch into the field of those samples
    /// (their labels, their probes). It is asked at every step, since samples that are done leave.
    let runRows tolerance tableau fieldOf times x : Result<Solution, Failure> =
        runRowsBy rootMeanSquare tolerance tableau fieldOf times x

    /// The states of dx/dt = v(t, x) at the times given, which rise or fall, from x [B; …] at the first of them; those between the ends are
    /// read off the steps by the method's dense output. The field gets times [n], float64. Each sample is integrated as if it were
    /// alone: where the field's own rounding does not depend on the batch, neither does the result. Memory does not grow
    /// with the number of steps. Raises ArgumentException where the method has no embedded weights or the times are not monotone.
    let run
        (tolerance: Tolerance)
        (tableau: Tableau)
        (ode: Ode)
        (times: float[])
        (x: Tensor)
        : Result<Solution, Failure> =
        runRows tolerance tableau (fun _ -> ode.Velocity) times x
