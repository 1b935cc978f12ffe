namespace Fokker

open System
open System.IO
open System.Security.Cryptography

/// A law that samples are drawn from.
[<NoComparison; ReferenceEquality>]
type DataLaw =
    {
        /// n independent draws, float64 [n; …]; row i depends on the key and on i only.
        Draw: Rng -> int -> Tensor
        /// log p of samples in the data's units, [n; …] ↦ [n] float64 in nats, where it is known.
        LogDensity: (Tensor -> Tensor) option
        /// The mixture of a person's own that it is; none where its name says all.
        Mixture: Mixture option
    }

/// Where samples come from.
[<NoComparison; ReferenceEquality>]
type Content =
    /// As many independent draws as anyone asks for.
    | Law of DataLaw
    /// A file's samples, those to train on and those kept from it.
    | Finite of train: Table * heldOut: Table

/// What each pass over images shows of them. What an image's own stream of random numbers says in a pass decides, so that a batch stays a function of the step.
type Augmentation =
    {
        /// Half of them, mirrored left to right.
        Flip: bool
        /// Side of a window at a random place of each, which is what the network sees; none shows all of it. Held-out images are seen through the window in the middle.
        Crop: int option
    }

    static member None = { Flip = false; Crop = None }

/// A data set. Everything that is drawn from it is in the network's units: see `Units` and `Dataset.inData`.
[<NoComparison; ReferenceEquality>]
type Dataset =
    {
        /// As the command line takes it: `moons`, `npy:FILE`.
        Name: string
        Summary: string
        Reference: string
        /// Of one sample: [2] for a point of the plane, [C; H; W] for an image.
        Shape: int list
        /// Names of the classes that labels number; empty where there are no labels.
        Classes: string list
        Units: Units
        /// What the coordinates of a sample stand for, where it is a row of a table whose columns were said; empty elsewhere.
        Columns: Column list
        /// The lowest and the highest value that a picture shows, of images, in the data's units; none of vectors.
        Range: (float * float) option
        /// What a person should know of how they were read: files that were left out, for instance.
        Notes: string list
        Augmentation: Augmentation
        /// What a network is told of a sample in numbers, besides the time; none where it is told a class or nothing.
        Given: Given option
        Content: Content
    }

    member d.IsImage = d.Shape.Length = 3

    interface IHoldTensors with
        member d.Visit visit =
            match d.Content with
            | Law _ -> ()
            | Finite(train, heldOut) ->
                for table in [ train; heldOut ] do
                    visit table.Rows
                    Option.iter visit table.Places
                    Option.iter visit table.Labels

[<RequireQualifiedAccess>]
module Dataset =

    /// x in the data's own units, for people and files.
    let inData (dataset: Dataset) (x: Tensor) : Tensor = Units.toData dataset.Units x

    /// The values that a picture shows where nothing else is known: what the network has from −1 to 1.
    let rangeOf (units: Units) : float * float = units.Shift[0] - units.Scale[0], units.Shift[0] + units.Scale[0]

    /// The law with the shift and the one scale that give it mean 0 and a mean variance of 1: one scale for both
    /// coordinates, so that shapes and ratios of distances stay as they are.
    let ofLaw (law: PlaneLaw) : Dataset =
        { Name = law.Name
          Summary = law.Summary
          Reference = law.Reference
          Shape = [ 2 ]
          Classes = []
          Units = { Shift = law.Mean; Scale = Array.create 2 (sqrt (Array.average law.Variance)) }
          Range = None
          Columns = []
          Notes = []
          Augmentation = Augmentation.None
          Given = None
          Content = Law { Draw = law.Draw; LogDensity = law.LogDensity; Mixture = None } }

    /// A mixture of Gaussians as data, with the shift and the one scale that give it mean 0 and a mean variance of 1. `file` is where it was read from. The mixture stays its
    /// owner's: it must live as long as the data do.
    let ofMixture (name: string) (file: string) (mixture: Mixture) : Dataset =
        let mean, variances =
            Scope.run (fun () ->
                Tensor.toFloats (Mixture.mean mixture),
                Tensor.toFloats (Linalg.einsum "ii->i" [ Mixture.covariance mixture ]))

        { Name = name
          Summary = $"a mixture of {mixture.Components} Gaussians in {mixture.Dimension} dimensions"
          Reference = file
          Shape = [ mixture.Dimension ]
          Classes = []
          Units = { Shift = mean; Scale = Array.create mixture.Dimension (sqrt (Array.average variances)) }
          Range = None
          Columns = []
          Notes = []
          Augmentation = Augmentation.None
          Given = None
          Content =
            Law
                { Draw = fun rng n -> Mixture.sample n rng mixture
                  LogDensity = Some(Mixture.logDensityOfData mixture)
                  Mixture = Some mixture } }

    /// log of the density in the network's units, [n; …] ↦ [n] float64, where it is known.
    let logDensity (dataset: Dataset) : (Tensor -> Tensor) option =
        match dataset.Content with
        | Law { LogDensity = Some log } ->
            let volume = Units.logVolume dataset.Units (List.fold (*) 1 dataset.Shape)
            Some(fun x -> log (Units.toData dataset.Units (x.To Dtype.Float64)) + volume)
        | Law _
        | Finite _ -> None

    /// Its gradient at x [n; …], in x's element type.
    let score (dataset: Dataset) : (Tensor -> Tensor) option =
        logDensity dataset
        |> Option.map (fun log x -> (Diff.grad (fun x -> Tensor.sum (log x)) (x.To Dtype.Float64)).To x.Kind)

    /// Images [n; C; H; W] through a window of each: `seen` says of the i-th whether it is mirrored and where the window's upper left corner is.
    let private windows (side: int option) (seen: int -> struct (bool * int * int)) (x: Tensor) : Tensor =
        let n, channels, height, width = x.Shape[0], x.Shape[1], x.Shape[2], x.Shape[3]
        let h, w = defaultArg side height, defaultArg side width
        let index = Array.zeroCreate<int64>(n * h * w)

        for i in 0 .. n - 1 do
            let struct (mirrored, top, left) = seen i

            for row in 0 .. h - 1 do
                for column in 0 .. w - 1 do
                    let from = if mirrored then w - 1 - column else column
                    index[(i * h + row) * w + column] <- int64 ((top + row) * width + left + from)

        let index = Tensor.ofArray [ n; 1; h * w ] index |> Tensor.expand [ n; channels; h * w ]

        Tensor.reshape [ n; channels; height * width ] x
        |> Tensor.gather 2 index
        |> Tensor.reshape [ n; channels; h; w ]

    /// What is seen of images where nothing is random: the window in the middle.
    let private middle (dataset: Dataset) (x: Tensor) : Tensor =
        match dataset.Augmentation.Crop with
        | None -> x
        | Some side ->
            x
            |> Tensor.narrow 2 ((x.Shape[2] - side) / 2) side
            |> Tensor.narrow 3 ((x.Shape[3] - side) / 2) side

    /// What is seen of the rows of a table in each pass over it: a function of the pass and of a row's number. The draws of the current pass are remembered.
    let private views (rng: Rng) (dataset: Dataset) (table: Table) : (int64 -> int64[] -> Tensor -> Tensor) option =
        let augmentation = dataset.Augmentation

        if augmentation = Augmentation.None then
            None
        else
            let rng = Rng.named "views" rng
            let height, width = table.Rows.Shape[2], table.Rows.Shape[3]
            let side = augmentation.Crop
            let mutable known = struct (-1L, Array.empty<float>)

            let draws pass =
                match known with
                | struct (p, draws) when p = pass -> draws
                | _ ->
                    let draws =
                        Scope.run (fun () ->
                            Rng.uniform Kind.Float64 [ table.Count; 3 ] (Rng.at pass rng) |> Tensor.toFloats)

                    known <- struct (pass, draws)
                    draws

            Some(fun pass rows ->
                let draws = draws pass

                windows side (fun i ->
                    let at = 3 * int rows[i]
                    let place u whole = side |> Option.fold (fun _ side -> int (u * float (whole - side + 1))) 0
                    struct (augmentation.Flip && draws[at] < 0.5,
                            place draws[at + 1] height,
                            place draws[at + 2] width)))

    /// Where the box is that inpainting hides of the rows of a table in each pass over it, four numbers for each row: a function of the pass and of a row's number. Those of the current pass are
    /// remembered.
    let private boxes (rng: Rng) (table: Table) : int64 -> int64[] -> float[] =
        let rng = Rng.named "boxes" rng
        let mutable known = struct (-1L, Array.empty<float>)

        fun pass rows ->
            let all =
                match known with
                | struct (p, all) when p = pass -> all
                | _ ->
                    let all =
                        Scope.run (fun () ->
                            Rng.uniform Kind.Float64 [ table.Count; 4 ] (Rng.at pass rng) |> Tensor.toFloats)

                    known <- struct (pass, all)
                    all

            rows |> Array.collect (fun row -> all[4 * int row .. 4 * int row + 3])

    /// Rows `index` (int64 [n]) of a table in network units, as `seen` shows them, with what is told of each: its class, its numbers, or what `boxes` leave of it.
    let private take
        (kind: Kind)
        (dataset: Dataset)
        (seen: Tensor -> Tensor)
        (boxes: unit -> float[])
        (table: Table)
        (index: int64[])
        : Batch =
        let units = dataset.Units
        let index = Tensor.ofArray [ index.Length ] index
        let rows = Table.rows index table |> seen

        // Bytes are worked on as what they are to become; other numbers in float64, in which a shift that is large beside the scale loses nothing.
        let rows = rows.To(if Dtype.isFloating rows.Dtype then Dtype.Float64 else kind.Dtype)

        let data = (Units.toNetwork units rows).To kind

        let labels =
            table.Labels
            |> Option.map (fun labels ->
                let own = Tensor.indexSelect 0 index labels
                if Dtype.isFloating own.Dtype then own.To kind else own.To kind.Device)

        { Data = data
          Label =
            match dataset.Given with
            | Some(Given.LowResolution _ | Given.Inpainting as given) -> Some(Given.observed boxes given data)
            | Some(Given.WithClass given) ->
                labels |> Option.map (fun labels -> Given.withClass labels (Given.observed boxes given data))
            | Some(Given.Columns _)
            | None -> labels
          Source = None }

    let private draw (kind: Kind) (units: Units) (law: DataLaw) (rng: Rng) (n: int) : Batch =
        { Data = (Units.toNetwork units (law.Draw rng n)).To kind; Label = None; Source = None }

    /// The batch of every step: a function of the key and the step alone, so that a run can be taken up anywhere.
    ///
    /// A law is drawn anew at each step. A file's samples come in one random order for every pass over them, each sample once in
    /// a pass; a batch that reaches past the end of a pass goes on with the next. (The order of the current pass is remembered; that is all
    /// that applying this to its first four arguments and keeping the result is good for.)
    let batches (kind: Kind) (size: int) (rng: Rng) (dataset: Dataset) : int64 -> Batch =
        if size < 1 then
            invalidArg (nameof size) $"a batch of {size} samples: at least 1"

        match dataset.Content with
        | Law law -> fun step -> draw kind dataset.Units law (Rng.at step rng) size
        | Finite(table, _) ->
            let n = int64 table.Count
            let mutable known = struct (-1L, Array.empty<int64>)

            let order pass =
                match known with
                | struct (p, order) when p = pass -> order
                | _ ->
                    let order = Scope.run (fun () -> Rng.permutation (int n) (Rng.at pass rng) |> Tensor.toArray<int64>)

                    known <- struct (pass, order)
                    order

            let views = views rng dataset table
            let boxes = boxes rng table

            fun step ->
                let first = step * int64 size
                let places = Array.init size (fun i -> first + int64 i)
                let rows = places |> Array.map (fun at -> (order (at / n))[int (at % n)])

                // A batch that reaches past the end of a pass has parts of several.
                let parts () = Array.zip places rows |> Array.groupBy (fun (at, _) -> at / n)
                let boxes () = parts () |> Array.collect (fun (pass, part) -> boxes pass (Array.map snd part))

                match views with
                | None -> take kind dataset id boxes table rows
                | Some seen ->
                    let seen (x: Tensor) =
                        parts ()
                        |> Array.map (fun (pass, part) ->
                            let start = int (fst part[0] - first)
                            seen pass (Array.map snd part) (Tensor.narrow 0 start part.Length x))
                        |> Tensor.cat 0

                    take kind dataset seen boxes table rows

    /// n independent draws of what there is to train on, [n; …].
    let sample (kind: Kind) (n: int) (rng: Rng) (dataset: Dataset) : Tensor =
        match dataset.Content with
        | Law law -> (draw kind dataset.Units law rng n).Data
        | Finite(table, _) ->
            let index = Tensor.toArray<int64>(Rng.integers (int64 table.Count) [ n ] rng)

            let seen =
                match views rng dataset table with
                | None -> id
                | Some seen -> seen 0L index

            (take kind dataset seen (fun () -> boxes rng table 0L index) table index).Data

    /// n samples that training never sees, in a random order and each at most once: fresh draws of a law, held-out rows
    /// of a file, all of them where it has fewer than n. Two disjoint sets are the halves of one of twice the size.
    let heldOut (kind: Kind) (n: int) (rng: Rng) (dataset: Dataset) : Batch =
        let rng = Rng.named "held-out" rng

        match dataset.Content with
        | Law law -> draw kind dataset.Units law rng n
        | Finite(_, table) ->
            let order = Scope.run (fun () -> Rng.permutation table.Count rng |> Tensor.toArray<int64>)
            let rows = Array.truncate n order
            take kind dataset (middle dataset) (fun () -> boxes rng table 0L rows) table rows

    /// How many held-out samples there are; None where there is no end to them.
    let heldOutCount (dataset: Dataset) =
        match dataset.Content with
        | Law _ -> None
        | Finite(_, table) -> Some table.Count

    /// How many samples there are to train on; None where there is no end to them.
    let trainCount (dataset: Dataset) =
        match dataset.Content with
        | Law _ -> None
        | Finite(table, _) -> Some table.Count

    /// Whether its batches are made while the step before is computed: they wait for a disk, or images are seen anew in each pass.
    let internal isWorthAThread (dataset: Dataset) : bool =
        match dataset.Content with
        | Law _ -> false
        | Finite(train, _) -> dataset.Augmentation <> Augmentation.None || train.Places.IsSome

    /// SHA-256 of a file's samples and labels, or of the numbers that make a law what it is, in hexadecimal: two data sets with the same one hold the same numbers.
    /// None for a law whose name says all.
    let digest (dataset: Dataset) : string option =
        let hashed (write: (Tensor -> unit) -> unit) =
            use sha = SHA256.Create()
            use stream = new CryptoStream(Stream.Null, sha, CryptoStreamMode.Write)
            write (fun tensor -> Exchange.toStream tensor stream)
            stream.FlushFinalBlock()
            Some(Convert.ToHexStringLower(nonNull sha.Hash))

        match dataset.Content with
        | Law { Mixture = None } -> None
        | Law { Mixture = Some m } ->
            Scope.run (fun () ->
                hashed (fun write -> List.iter write [ Mixture.weights m; Mixture.means m; Mixture.covariances m ]))
        | Finite(train, heldOut) ->
            hashed (fun write ->
                for table in [ train; heldOut ] do
                    Table.inBlocks write table
                    Option.iter write table.Labels)

    // ---- from files

    let private checkShape file (x: Tensor) =
        if x.Rank < 2 || x.Rank > 4 || x.Rank = 3 && (Dtype.isFloating x.Dtype || x.Dtype = Dtype.Bool) then
            raise (
                UserError
                    $"{file}: its shape is {x.Describe()}: expected [n; d] vectors, [n; C; H; W] images or [n; H; W] images of whole numbers; windows of series, [n; C; L], are read as series:FILE"
            )

    let private checkNumbers file (x: Tensor) =
        if Array.exists (fun size -> size = 0) x.Shape then
            raise (UserError $"{file}: its shape is {x.Describe()}: it holds no samples")

        if x.Shape[0] < 2 then
            raise (UserError $"{file}: it holds one sample: expected at least two, one to train on and one to hold out")

        if Dtype.isFloating x.Dtype then
            Scope.run0 (fun () ->
                let finite = (Tensor.isFinite x).To(Dtype.Float32) |> Tensor.flattenRows
                let row = int ((finite |> Tensor.minOver [ 1 ] |> Tensor.argmin 0).ToInt64())
                let within = finite[row]
                let column = int ((Tensor.argmin 0 within).ToInt64())

                if within[column].ToFloat() = 0.0 then
                    let values = (Tensor.flattenRows x)[row]

                    raise (
                        UserError
                            $"{file}: row {row}, column {column} is {values[column].ToFloat()} (counted from 0): expected finite numbers; drop or fill what is missing"
                    ))

    let private check file (x: Tensor) =
        checkShape file x
        checkNumbers file x

    /// A size of numbers, and 1 over it, that a network's float32 holds with room for what is computed with them: it ends at 3e38.
    let private largest = 1e30

    let private checkSize file (x: Tensor) =
        if Dtype.isFloating x.Dtype then
            Scope.run0 (fun () ->
                let sizes = Tensor.flattenRows (Tensor.abs x)
                let row = int ((sizes |> Tensor.maxOver [ 1 ] |> Tensor.argmax 0).ToInt64())
                let column = int ((Tensor.argmax 0 sizes[row]).ToInt64())
                let values = (Tensor.flattenRows x)[row]
                let value = values[column].ToFloat()

                if abs value > largest then
                    raise (
                        UserError
                            $"{file}: row {row}, column {column} is {value} (counted from 0): expected numbers up to {largest}; divide the data by a power of ten"
                    ))

    /// Whether images are in the order [n; H; W; C], by a last size that is a number of colours where neither of the others can be one.
    let private isChannelsLast (x: Tensor) =
        x.Rank = 4
        && (x.Shape[3] = 1 || x.Shape[3] = 3 || x.Shape[3] = 4 && x.Dtype = Dtype.UInt8)
        && x.Shape[1] > 4
        && x.Shape[2] > 4

    // [n; H; W] pixels have one channel.
    let private images (x: Tensor) =
        if x.Rank = 3 then
            Tensor.unsqueeze 1 x
        elif isChannelsLast x then
            let x = Tensor.permute [ 0; 3; 1; 2 ] x
            if Mapping.isLarge x then x else Tensor.contiguous x
        else
            x

    /// Mean and standard deviation, of each column of vectors, each series of windows and all pixels of images; a constant column is moved to 0 and keeps its scale.
    let private standard file (x: Tensor) : Units =
        if x.Dtype = Dtype.UInt8 && x.Rank > 2 then
            // Pixels become [−1, 1]: x = 127.5 + 127.5 y.
            { Shift = [| 127.5 |]; Scale = [| 127.5 |] }
        else
            Scope.run (fun () ->
                let values = x.To Dtype.Float64
                let over =
                    match x.Rank with
                    | 2 -> [ 0 ]
                    | 3 -> [ 0; 2 ]
                    | rank -> [ 0 .. rank - 1 ]
                let numbers t = Tensor.toFloats (Tensor.reshape [ -1 ] t)

                let least, most = numbers (Tensor.minOver over values), numbers (Tensor.maxOver over values)
                let means = numbers (Tensor.meanOver over values)
                let deviations = numbers (Tensor.sqrt (Tensor.varianceOver over 0 values))
                // The deviation of a constant is rounding noise as often as 0.
                let constant k = least[k] = most[k]

                for k in 0 .. deviations.Length - 1 do
                    if not (constant k) && deviations[k] < 1.0 / largest then
                        let what =
                            match x.Rank with
                            | 2 -> $"column {k} (counted from 0)"
                            | 3 -> $"series {k} (counted from 0)"
                            | _ -> "what its pixels hold"

                        raise (
                            UserError
                                $"{file}: {what} varies by {deviations[k]} only: expected at least {1.0 / largest}; multiply the data by a power of ten"
                        )

                { Shift = means |> Array.mapi (fun k mean -> if constant k then least[k] else mean)
                  Scale = deviations |> Array.mapi (fun k deviation -> if constant k then 1.0 else deviation) })

    /// The shift and the scale of each column of [n; d]. Raises UserError where one varies too little.
    let internal unitsOf (file: string) (x: Tensor) : Units = standard file x

    /// The values that a picture shows from black to white of images whose numbers are from `low` to `high`: those that their kind of number has where they
    /// keep to it ([0, 1], [−1, 1], [0, 255]), else these.
    let rangeOfNumbers (low: float) (high: float) : float * float =
        if low >= 0.0 && high <= 1.0 then 0.0, 1.0
        elif low >= -1.0 && high <= 1.0 then -1.0, 1.0
        elif low >= 0.0 && high > 64.0 && high <= 255.0 then 0.0, 255.0
        else low, (if high > low then high else low + 1.0)

    /// `rangeOfNumbers` of images [n; C; H; W]; bytes are from 0 to 255.
    let private shown (x: Tensor) : float * float =
        if x.Dtype = Dtype.UInt8 then
            0.0, 255.0
        else
            rangeOfNumbers ((Tensor.min x).ToFloat()) ((Tensor.max x).ToFloat())

    let private table (rows: Tensor) (labels: Condition) (index: int64[]) : Table =
        Table.select (Tensor.ofArray [ index.Length ] index) (Table.ofRows rows labels)

    /// A network has some kilobytes for each class; the largest collections of labelled pictures have twenty thousand.
    let private mostClasses = 65_536

    /// One more than the greatest of the labels, each of which occurs.
    let private classCount file (labels: Tensor) : int =
        let labels = Tensor.toArray<int64> labels
        let most = if labels.Length = 0 then 0L else Array.max labels

        if most >= int64 mostClasses then
            raise (
                UserError
                    $"{file}: one of its labels is {most}: classes are numbered from 0 without gaps, and there are at most {mostClasses}"
            )

        let there = Array.zeroCreate<bool>(int most + 1)

        for label in labels do
            there[int label] <- true

        match Array.IndexOf(there, false) with
        | -1 -> there.Length
        | gap ->
            raise (
                UserError
                    $"{file}: no sample has the label {gap}, though labels go up to {most}: number the classes from 0 without gaps (NumPy's unique with return_inverse does)"
            )

    /// A data set from samples [n; …] and labels that go with them. A tenth of them (at least one), chosen by a fixed key,
    /// is held out. Bytes of rank 3 and 4 are pixels; images of floats in [−1, 1] stay as they are; everything else is standardised. Images whose last size is a number of colours are
    /// read as [n; H; W; C], and a note says so.
    /// `file` is what messages call it. Raises UserError where the samples are not finite, too few or of no known shape.
    /// `arranged` brings them into their order [n; …].
    let private made
        (arranged: Tensor -> Tensor)
        name
        summary
        (file: string)
        (x: Tensor)
        (labels: Condition)
        (classes: string list)
        : Dataset =
        checkNumbers file x
        checkSize file x
        let given = x

        Scope.run (fun () ->
            let x = arranged (if x.Rank = 2 && x.Dtype = Dtype.UInt8 then x.To Dtype.Float32 else x)

            let x = if x.Dtype = Dtype.UInt8 || Dtype.isFloating x.Dtype then x else x.To Dtype.Float64

            let inside () = (Tensor.min x).ToFloat() >= -1.0 && (Tensor.max x).ToFloat() <= 1.0

            let n = x.Shape[0]
            let order = Rng.permutation n (Rng.ofSeed 0L |> Rng.named "held-out rows") |> Tensor.toArray<int64>
            let kept = max 1 (n / 10)
            // In the file's order, so that reading goes through memory once.
            let heldOut = Array.sort (Array.take kept order)
            let train = Array.sort (Array.skip kept order)

            { Name = name
              Summary = summary
              Reference = file
              Shape = List.ofArray x.Shape[1..]
              Classes = classes
              Units = if x.Rank = 4 && x.Dtype <> Dtype.UInt8 && inside () then Units.Same else standard file x
              Range = if x.Rank = 4 then Some(shown x) else None
              Columns = []
              Notes =
                [ if isChannelsLast given then
                      $"{file}: its shape {given.Describe()} is read as images whose channels come last, [n; H; W; C]; samples have them first" ]
              Augmentation = Augmentation.None
              Given = None
              Content = Finite(table x labels train, table x labels heldOut) })

    let private namesOf (file: string) (labels: Condition) : string list =
        labels
        |> Option.map (fun labels -> [ for k in 0 .. classCount file labels - 1 -> string k ])
        |> Option.defaultValue []

    /// `made` with the classes that labels number.
    let ofSamples name summary (file: string) (x: Tensor) (labels: Condition) : Dataset =
        // What is wrong with the samples is said first.
        check file x
        made images name summary file x labels (namesOf file labels)

    /// Windows of series [n; C; L], or of one [n; L], as a data set: a shift and a scale for each series serve all of its places. Raises UserError as `ofSamples` does.
    let ofWindows name summary (file: string) (x: Tensor) (labels: Condition) : Dataset =
        if x.Rank < 2 || x.Rank > 3 then
            raise (
                UserError
                    $"{file}: its shape is {x.Describe()}: expected [n; C; L], windows of C series of L values, or [n; L] of one"
            )

        checkNumbers file x

        Scope.run (fun () ->
            let x = x.To(if x.Dtype = Dtype.Float32 then Dtype.Float32 else Dtype.Float64)
            let data = made id name summary file x labels (namesOf file labels)

            if x.Rank = 3 then
                data
            else
                // One series: what a place is like, all are.
                { data with Units = standard file (Tensor.unsqueeze 1 x) })

    /// The rows of a table of cells as the points that their columns make of them (`Columns`), with the noise of a fixed key, and what the columns `given` tell of each row, where there are some: those are not
    /// learned, whatever `wanted` says of all. Raises UserError where a column is not there, or its cells are not what it is said to hold.
    let internal ofCells
        (name: string)
        (file: string)
        (wanted: Columns.Wanted)
        (given: Columns.Wanted)
        (table: CellTable)
        : Dataset =
        let told = given |> Option.map (fun given -> Given.ofCells file (Some given) table)
        let isTold name = given |> Option.exists (List.exists (fst >> (=) name))

        let wanted =
            match wanted with
            | None ->
                Some
                    [ for name in table.Header do
                          if not (isTold name) then
                              name, None ]
            | Some names ->
                for name, _ in names do
                    if isTold name then
                        raise (
                            UserError
                                $"{file}: the column {name} is both told and learned: leave it out of one of the two"
                        )

                Some names

        if wanted = Some [] then
            raise (UserError $"{file}: every column of it is told, and none is left to learn")

        let columns, places = Columns.find file wanted table
        let units = Columns.units columns places table.Rows
        let rng = Rng.ofSeed 0L |> Rng.named "cells"
        let x = Columns.points file columns places units (Some rng) table

        { made id name "rows of a table" file x (Option.map snd told) [] with
            Units = units
            Columns = columns
            Given = Option.map fst told }

    /// Samples with numbers [n; k] that a network is told of each, in its units, and what they are. Raises UserError as `ofSamples` does.
    let ofSamplesGiven name summary (file: string) (x: Tensor) (given: Given, told: Tensor) : Dataset =
        check file x

        if told.Shape[0] <> x.Shape[0] then
            raise (UserError $"{file}: it is told of {told.Shape[0]} samples, and there are {x.Shape[0]} samples")

        { made images name summary file x (Some told) [] with Given = Some given }

    /// Images with what a network is told of each: the image made small, or all of it but a box, and its class or not. Raises RefusedException where they are no images of a data set that ends, have sides that cannot
    /// be made so much smaller, or no classes.
    let telling (given: Given) (data: Dataset) : Dataset =
        match data.Shape, data.Content, Given.rest given with
        | _ when data.Given.IsSome ->
            refuse
                Setting.Data
                data.Name
                $"it tells of each image {Given.text data.Given.Value} already: leave one of the two out"
        | _ when Given.hasClass given && data.Classes.IsEmpty ->
            refuse Setting.Data data.Name $"it has no classes, which {Given.text given} tells of each image"
        | [ _; height; width ], Finite _, Given.LowResolution factor when height % factor <> 0 || width % factor <> 0 ->
            refuse
                Setting.Data
                data.Name
                $"its images are {width} × {height}, which are no multiples of {factor}: crop them, or take another factor"
        | [ _; _; _ ], Finite _, (Given.LowResolution _ | Given.Inpainting) -> { data with Given = Some given }
        | _ -> refuse Setting.Data data.Name $"{Given.text given} is told of images, and these are none"

    /// The data as a network is shown them in training. Raises RefusedException where they are no images, or smaller than the window.
    let augmented (augmentation: Augmentation) (data: Dataset) : Dataset =
        let seen =
            Seq.toArray
                [ if augmentation.Flip then
                      "mirrored"
                      if augmentation.Crop.IsSome then
                          "cropped" ]

        match data.Shape, data.Content, augmentation.Crop with
        | _ when augmentation = Augmentation.None -> data
        | [ channels; height; width ], Finite _, crop ->
            match crop with
            | Some side when side < 1 || side > min height width ->
                refuse
                    Setting.Data
                    data.Name
                    $"its images are {width} × {height}, and the window {side} × {side}: expected a side from 1 to {min height width}"
            | _ -> ()

            { data with
                Augmentation = augmentation
                Shape =
                    match crop with
                    | Some side -> [ channels; side; side ]
                    | None -> data.Shape }
        | _ -> refuse Setting.Data data.Name $"""only images are {String.Join(" and ", seen)}, and these are none"""

    /// The data with names for their classes. Raises UserError where there are more or fewer of them than classes, or one twice.
    let naming (classes: string list) (data: Dataset) : Dataset =
        if classes.Length <> data.Classes.Length then
            raise (
                UserError
                    $"{data.Name}: {classes.Length} names for {data.Classes.Length} classes: expected a name for each"
            )

        match
            classes
            |> List.countBy id
            |> List.tryFind (fun (name, n) -> n > 1 || String.IsNullOrWhiteSpace name)
        with
        | Some(name, _) ->
            raise (
                UserError
                    $"{data.Name}: the class name '{name}' is blank or given twice: expected one of its own for each class"
            )
        | None -> { data with Classes = classes }

    /// Labels read from a file, as int64 [n]. Raises UserError, naming the file, where they are not `n` integers from 0 without gaps.
    let labels (file: string) (n: int) (x: Tensor) : Tensor =
        if Dtype.isFloating x.Dtype || x.Rank <> 1 then
            raise (UserError $"{file}: its shape is {x.Describe()}: expected one integer label a sample, [n]")

        if x.Shape[0] <> n then
            raise (UserError $"{file}: it holds {x.Shape[0]} labels, but there are {n} samples: one label a sample")

        let x = x.To Dtype.Int64

        if n > 0 && (Scope.run (fun () -> (Tensor.min x).ToInt64())) < 0L then
            raise (UserError $"{file}: it holds a negative label: classes are numbered from 0")

        classCount file x |> ignore
        x
