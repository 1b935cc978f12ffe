namespace Fokker

open System

/// One measure of samples against held-out data, beside what held-out data score against each other.
type Score =
    {
        Name: string
        Equation: string
        Value: Estimate
        Floor: Estimate
        /// Samples in each set that it was measured between.
        Size: int
        Better: Better
        /// Whether what equal laws score is known but for chance, zero of a distance without bias, a half of a classifier or a thousandth of what is rare: a ratio to it means nothing.
        FloorIsKnown: bool
        /// Why there is no such figure for these data, where there is none: value and floor are then no numbers.
        Undefined: string option
    }

    /// Value over floor; none where the floor is known but for chance.
    member score.Ratio = if score.FloorIsKnown then None else Some(score.Value.Mean / score.Floor.Mean)

    /// How many standard errors the value lies above its floor, or below it where less is worse, or from it where both are.
    member score.Excess =
        let error = Math.Sqrt(score.Value.StandardError ** 2.0 + score.Floor.StandardError ** 2.0)
        let above = score.Value.Mean - score.Floor.Mean

        let worse =
            match score.Better with
            | Better.Lower -> above
            | Better.Higher -> -above
            | Better.Nearer -> abs above

        // Counts may agree exactly, and have no spread.
        if worse = 0.0 then 0.0 else worse / error

    /// Whether samples and data are told apart by this measure: a sampler without fault comes to three standard errors once in seven hundred times.
    member score.IsSeen = score.Excess >= 3.0

    /// What it says, in words; the command line and the report have it from here.
    member score.Verdict =
        let size = score.Size.ToString("N0", Globalization.CultureInfo.InvariantCulture)

        if score.Undefined.IsSome then
            $"undefined: {score.Undefined.Value}"
        elif not score.IsSeen then
            $"not distinguished by this measure at n = {size}"
        else
            let side = if score.Value.Mean > score.Floor.Mean then "above" else "below"

            match score.Better, score.Ratio with
            | Better.Lower, Some ratio -> $"{ratio:F2} × its floor, {score.Excess:F1} standard errors above it"
            | Better.Lower, None -> $"{score.Excess:F1} standard errors above its floor"
            | _ -> $"{score.Excess:F1} standard errors {side} that of two sets of the data"

/// How samples are measured.
type Protocol =
    {
        /// Pairs of sets that each figure is a mean over.
        Draws: int
        /// Samples in a set.
        Size: int
        /// How many samples there are to take the sets from: Draws · Size gives each pair samples of its own, fewer are
        /// shared between pairs, chosen at random for each.
        Pool: int
    }

/// What a measuring is busy with.
[<RequireQualifiedAccess>]
type Stage =
    | Sampling
    /// Training the classifier whose features a Fréchet distance is on.
    | Classifier
    | Measuring

/// How far samples are from held-out data, and how that was measured.
type Evaluations = { Protocol: Protocol; Scores: Score list }

/// Measuring samples: every figure is a mean over pairs of sets, with its standard error over them, beside its noise floor, which is the same between
/// two sets of held-out data. Where pairs share samples, the standard error is of the choice of sets: that the samples are no others is not in it.
[<RequireQualifiedAccess>]
module Evaluations =

    /// A single pair of sets of a perfect sampler exceeds any tight bound now and then; the mean over twenty does not.
    let standardFor (data: Dataset) : Protocol =
        if data.IsImage then
            // A sample of an image takes the network's time; twice a set's size is what a demonstration can wait for.
            { Draws = 10; Size = 1000; Pool = 2000 }
        elif Units.areText data.Shape data.Units then
            { Draws = 10; Size = 300; Pool = 300 }
        elif Units.areSeries data.Shape data.Units then
            // The network that series have takes an image's time.
            { Draws = 10; Size = 500; Pool = 1000 }
        else
            { Draws = 20; Size = 1000; Pool = 20_000 }

    /// So many pairs of sets of so many samples; what is not said is as usual.
    let protocol (data: Dataset) (draws: int option) (size: int option) : Protocol =
        let standard = standardFor data

        match draws, size with
        | None, None -> standard
        | _ ->
            let draws, size = defaultArg draws standard.Draws, defaultArg size standard.Size
            let sets =
                if data.IsImage || Units.areSeries data.Shape data.Units then min draws 2
                elif Units.areText data.Shape data.Units then 1
                else draws
            { Draws = draws; Size = size; Pool = sets * size }

    /// Samples without which nothing can be said.
    let least = 8

    /// Whether enough is held out to measure samples against.
    let isMeasurable (data: Dataset) : bool = Dataset.heldOutCount data |> Option.forall (fun count -> count >= least)

    /// The protocol with sets as large as the held-out data allow: both sides of a floor come from them. Raises UserError where too few are held out.
    let fit (data: Dataset) (protocol: Protocol) : Protocol =
        match Dataset.heldOutCount data with
        | Some count when not (isMeasurable data) ->
            raise (
                UserError $"{data.Name}: it holds out {count} samples: at least {least} are needed to measure anything"
            )
        | Some count when count / 2 < protocol.Size ->
            { protocol with
                Size = count / 2
                Pool = max (count / 2) (protocol.Pool * (count / 2) / protocol.Size) }
        | _ -> protocol

    /// Held-out samples [n; …], float64 in the data's own units.
    let heldOut (data: Dataset) (rng: Rng) (n: int) : Tensor =
        Scope.run (fun () -> Dataset.inData data (Dataset.heldOut Kind.Float64 n rng data).Data)

    /// `heldOut` with the name of each sample's class; no names where the data have no classes.
    let heldOutWithClasses (data: Dataset) (rng: Rng) (n: int) : Tensor * string[] =
        Scope.run (fun () ->
            let batch = Dataset.heldOut Kind.Float64 n rng data

            let names =
                batch.Label
                |> Option.filter (fun labels -> labels.Dtype = Dtype.Int64)
                |> Option.map (Tensor.toArray<int64> >> Array.map (fun k -> List.item (int k) data.Classes))

            Dataset.inData data batch.Data, defaultArg names [||])

    /// Samples [n; …] as data that are all held out: for `ofSamples` to measure others against.
    let reference (name: string) (x: Tensor) : Dataset =
        let table (x: Tensor) = Table.ofRows x None

        { Name = name
          Summary = "samples to measure others against"
          Reference = name
          Shape = List.ofArray x.Shape[1..]
          Classes = []
          Units = Units.Same
          Range = None
          Columns = []
          Notes = []
          Augmentation = Augmentation.None
          Given = None
          Content = Finite(table (Tensor.narrow 0 0 0 x), table x) }

    // ---- what is measured

    /// Whether there is a Fréchet distance for the data: images of several classes.
    let hasFeatures (data: Dataset) : bool = data.IsImage && data.Classes.Length >= 2

    /// The classifier of the data's own classes whose features samples are measured on, which is trained at its first use and kept (`FeatureClassifier.cached`).
    let classifier (data: Dataset) (report: Ticker) : FeatureClassifier =
        // It tells classes apart, whatever a model is told.
        FeatureClassifier.cached (fun made all -> report (float made / float all) "") { data with Given = None }

    /// The same where the data have one.
    let classifierFor (data: Dataset) (report: Ticker) : FeatureClassifier option =
        if hasFeatures data then Some(classifier data report) else None

    /// The Fréchet distance between samples in the data's units, on the features of the data's classifier.
    let frechet (data: Dataset) (report: Ticker) : Measure =
        let measure = FeatureClassifier.frechet (classifier data report)
        let inside = Units.toNetwork data.Units
        { measure with Between = fun rng x y -> measure.Between rng (inside x) (inside y) }

    /// The name that programs know a measure by.
    let private publicName (measure: Measure) =
        if measure.Name = Measures.sliced.Name then "slicedWasserstein" else measure.Name

    /// The samples of pair k: its own where there are enough for all, a random choice of the pool elsewhere.
    let private chosen (protocol: Protocol) (samples: Tensor) (rng: Rng) (k: int) =
        if samples.Shape[0] >= protocol.Draws * protocol.Size then
            Tensor.narrow 0 (k * protocol.Size) protocol.Size samples
        else
            let order = Rng.permutation samples.Shape[0] (Rng.named "pool" rng)
            Tensor.indexSelect 0 (Tensor.narrow 0 0 protocol.Size order) samples

    /// Scores samples [pool; …] in the data's units against what the data hold out, by some measures; hears of each figure. A measure that
    /// has nothing to go by, as a bandwidth where half of the data are one point, is undefined, with its reason, and the others are as they were.
    let private scoreBy
        (measures: Measure list)
        (protocol: Protocol)
        (data: Dataset)
        (samples: Tensor)
        (rng: Rng)
        (report: string -> unit)
        : Score list =
        let n = protocol.Size

        let between (measure: Measure) rng x y =
            let value = measure.Between rng x y
            report measure.Name
            value

        let ofMeasure (measure: Measure) : Score =
            let value () =
                Measure.overDraws protocol.Draws (fun k ->
                    let rng = Rng.at (int64 k) (Rng.named "value" rng)
                    between measure (Rng.named "measure" rng) (chosen protocol samples rng k) (heldOut data rng n))

            let floor () =
                Measure.overDraws protocol.Draws (fun k ->
                    let rng = Rng.at (int64 k) (Rng.named "floor" rng)
                    // The halves of one draw share no sample.
                    let halves = Tensor.split n 0 (heldOut data rng (2 * n))
                    between measure (Rng.named "measure" rng) halves[0] halves[1])

            let score value floor undefined =
                { Name = publicName measure
                  Equation = measure.Equation
                  Value = value
                  Floor = floor
                  Size = n
                  Better = measure.Better
                  FloorIsKnown = measure.FloorIsKnown
                  Undefined = undefined }

            try
                score (value ()) (floor ()) None
            with :? ArgumentException as error ->
                let none = { Mean = nan; StandardError = nan; Draws = protocol.Draws }
                score none none (Some(Refusal.reason error))

        List.map ofMeasure measures

    /// Scores samples [pool; …] in the data's units against what the data hold out: by the library's measures and, with a classifier of the data's, by those on its features.
    let score
        (protocol: Protocol)
        (data: Dataset)
        (classifier: FeatureClassifier option)
        (samples: Tensor)
        (rng: Rng)
        (report: Ticker)
        : Score list =
        // Distances that add columns up do not see one that is much narrower than others.
        let isText = Units.areText data.Shape data.Units
        let columns =
            if isText then [] else ColumnMeasures.suiting (heldOut data (Rng.named "columns" rng) protocol.Size)
        let usual =
            if data.IsImage then Measures.ofImages
            elif isText then TextMeasures.ofLength data.Shape.Head
            else Measures.all
        let plain = usual @ columns @ Option.toList (HeldOut.outside data)
        let featured = classifier |> Option.map FeatureClassifier.measures |> Option.defaultValue []
        let total = float (2 * protocol.Draws * (plain.Length + featured.Length))
        let mutable finished = 0

        let report name =
            finished <- finished + 1
            report (float finished / total) name

        [ yield! scoreBy plain protocol data samples rng report
          match classifier, Dataset.heldOutCount data with
          | Some classifier, Some count ->
              // A picture's features are found once, however many of the pairs it is in.
              let features x = FeatureClassifier.features classifier (Units.toNetwork data.Units x)
              let truth =
                  reference "features" (Scope.run (fun () -> features (heldOut data (Rng.named "features" rng) count)))
              let seen = Scope.run (fun () -> features samples)
              yield! scoreBy featured protocol truth seen rng report
          | _ -> () ]

    /// What samples that data hold out are worth under a model: as many as there are, 2,000 at most.
    let density (model: GenerativeModel) (data: Dataset) (report: Ticker) : HeldOutDensity option =
        let count =
            match Dataset.heldOutCount data with
            // A text's letters are looked at one by one at many times.
            | Some held -> min held (if Units.areText data.Shape data.Units then 300 else HeldOut.standardCount)
            | None -> HeldOut.standardCount

        if count < least then None else HeldOut.density model data count (model.Stream "density") report

    // ---- whose samples

    /// The key of the samples of a model that are measured.
    let samplesKey (seed: int64) : Rng = Rng.ofSeed seed |> Rng.named "samples"

    /// The key of the pairs, the floor's draws and the measures' directions.
    let measuresKey (seed: int64) : Rng = Rng.ofSeed seed |> Rng.named "evaluation"

    let private requireShape (of': string) (shape: int list) (data: Dataset) =
        if data.Shape <> shape then
            let text (shape: int list) = String.Join("; ", shape)
            raise (UserError $"{data.Name}: its samples are [{text data.Shape}], those of {of'} [{text shape}]")

    /// The data of one class alone: what a model's samples of that class are to be like. Raises UserError where the data do not say which those are.
    let ofClass (model: GenerativeModel) (label: int) (data: Dataset) : Dataset =
        let only (labels: Tensor) (table: Table) =
            Scope.run (fun () ->
                let rows =
                    Tensor.toArray<int64> labels
                    |> Seq.indexed
                    |> Seq.filter (fun (_, own) -> own = int64 label)
                    |> Seq.map (fst >> int64)
                    |> Array.ofSeq

                let index = Tensor.ofArray [ rows.Length ] rows

                Table.select index { table with Labels = Some labels })

        match data.Content, model.Origin with
        | Law _, Origin.Exact(file, mixture) when data.Reference = file ->
            { data with Content = (Dataset.ofMixture data.Name file (Mixture.ofClass label mixture)).Content }
        | Finite(_, ({ Labels = Some labels } as heldOut)), _ ->
            let rows = only labels heldOut
            { data with Content = Finite(rows, rows) }
        | _ -> refuse Setting.Class label $"{data.Name} has no labels, so none of its samples are known to be of it"

    /// The drawing of n samples that are told what the data tell of samples that they hold out, one after the other and again from the first; as it is where the model is told nothing of that kind, or the
    /// drawing says what it is told.
    let telling (data: Dataset) (model: GenerativeModel) (rng: Rng) (n: int) (drawing: Drawing) : Drawing =
        match model.Given, drawing.Given with
        | Some given, None when data.Given = Some given ->
            let held = Dataset.heldOutCount data |> Option.defaultValue n
            let batch = Dataset.heldOut Kind.Float64 (min n held) (Rng.named "told" rng) data

            let told =
                batch.Label
                |> Option.map (fun told ->
                    let index = Array.init n (fun i -> int64 (i % told.Shape[0]))
                    Tensor.indexSelect 0 (Tensor.ofArray [ n ] index) told)

            { drawing with Given = told }
        | _ -> drawing

    /// Measures n samples [n; …] of anyone's, in the data's units, against what the data hold out: so many pairs of sets of so many samples as there can be.
    /// Raises UserError where the samples are of another shape than the data, or there are too few of either.
    let ofSamples (protocol: Protocol) (data: Dataset) (seed: int64) (report: Stage -> Ticker) (x: Tensor) =
        let n = x.Shape[0]
        requireShape "the samples" (List.ofArray x.Shape[1..]) data

        if n < least then
            raise (UserError $"{n} samples: at least {least} are needed to measure anything")

        let protocol = { fit data { protocol with Size = min n protocol.Size } with Pool = n }

        Scope.run (fun () ->
            let classifier = classifierFor data (report Stage.Classifier)
            { Protocol = protocol
              Scores = score protocol data classifier x (measuresKey seed) (report Stage.Measuring) })

    /// Draws samples of a model as the drawing says, and measures them against what the data hold out (of the drawing's class, where it has one): the
    /// figures of `fokker evaluate`. `seed` is that of the samples. Raises UserError where the data are of another shape than the model's, too few are held
    /// out, or sampling fails.
    let find
        (protocol: Protocol)
        (data: Dataset)
        (model: GenerativeModel)
        (drawing: Drawing)
        (seed: int64)
        (report: Stage -> Ticker)
        : Evaluations =
        requireShape model.Name model.Shape data

        let own =
            match drawing.Label with
            | Some label -> ofClass model label data
            | None -> data

        let protocol = fit own protocol

        Scope.run (fun () ->
            let drawing = telling own model (measuresKey model.Seed) protocol.Pool drawing
            let x = Samples.draw model drawing (samplesKey seed) protocol.Pool (report Stage.Sampling)
            let classifier = classifierFor data (report Stage.Classifier)
            { Protocol = protocol
              Scores = score protocol own classifier x (measuresKey model.Seed) (report Stage.Measuring) })

    /// A model's samples against what data hold out, drawn and measured in the way that suits them.
    let ofModel (data: Dataset) (model: GenerativeModel) : Evaluations =
        find (standardFor data) data model (Samples.standardFor model) model.Seed (fun _ _ _ -> ())
