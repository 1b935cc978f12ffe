namespace Fokker.Tool

open System
open Argu
open Fokker
open Fokker.Pictures
open Fokker.Report

type InterpolateArgument =
    | [<Unique>] Data of file: string
    | [<Unique>] Between of first: string * second: string
    | [<Unique>] Pairs of count: int
    | [<Unique>] Frames of count: int
    | [<Unique>] Linear
    | [<Unique>] Rtol of tolerance: float
    | [<Unique>] Atol of tolerance: float
    | [<Unique>] Seed of number: int64
    | [<Unique; AltCommandLine("-o")>] Out of file: string

    interface IArgParserTemplate with
        member argument.Usage =
            match argument with
            | Data _ ->
                "a .npy file of samples [2n; …] in the data's units, first and last of each pair in turn (held-out data)"
            | Between _ ->
                "two classes, by number or name: each pair goes from one of the first to one of the second; with --data, the classes of the ends for a network that takes the class"
            | Pairs _ -> "how many pairs where no file gives them (8; 500 points)"
            | Frames _ -> "how many points of the path, the ends included (9)"
            | Linear ->
                "on the straight line between the latents (along the great circle, near which noise of many dimensions lies)"
            | Rtol _ ->
                "adaptive steps: the error of a step stays below atol + rtol·|x|, for each sample by itself (dormand-prince; 1e-5, of images 1e-3, where nothing else is said of the steps)"
            | Atol _ -> "its absolute part (that of --rtol)"
            | Seed _ -> "seed of the pairs (0)"
            | Out _ ->
                "a .png file for the strips, one pair a row; the animation goes beside it as .html (interpolation.png, in the run's folder or here for an oracle); or a .npy file for the samples themselves, float64 [n; frames; …] in the data's units"

/// What the options of `fokker interpolate` come to.
type private InterpolateChoice =
    { Data: string option
      Between: (string * string) option
      Pairs: int option
      Frames: int
      Linear: bool
      Tolerance: ToleranceChoice
      Seed: int64
      Out: string option }

/// `fokker interpolate`: from one sample to another through their latents.
module Interpolate =

    let private choose (choice: InterpolateChoice) (argument: InterpolateArgument) : InterpolateChoice =
        match argument with
        | Data file -> { choice with Data = Some file }
        | Between(first, second) -> { choice with Between = Some(first, second) }
        | Pairs n -> { choice with Pairs = Some n }
        | Frames n -> { choice with Frames = n }
        | Linear -> { choice with Linear = true }
        | Rtol value -> { choice with Tolerance = { choice.Tolerance with Relative = Some value } }
        | Atol value -> { choice with Tolerance = { choice.Tolerance with Absolute = Some value } }
        | Seed seed -> { choice with Seed = seed }
        | Out file -> { choice with Out = Some file }

    let private usual: InterpolateChoice =
        { Data = None
          Between = None
          Pairs = None
          Frames = 9
          Linear = false
          Tolerance = { Relative = None; Absolute = None }
          Seed = 0L
          Out = None }

    let private endsWith (ending: string) (file: string) = file.EndsWith(ending, StringComparison.OrdinalIgnoreCase)

    let private check (choice: InterpolateChoice) =
        if choice.Frames < 2 then
            raise (UserError $"--frames {choice.Frames}: expected at least 2: the ends")

        match choice.Pairs, choice.Between, choice.Data with
        | Some n, _, _ when n < 1 -> raise (UserError $"--pairs {n}: expected a whole number of at least 1")
        | Some n, _, Some file ->
            raise (UserError $"--pairs {n} and --data {file} both say how many pairs: leave --pairs out")
        | _ -> ()

        match choice.Out with
        | Some file when not (endsWith ".png" file || endsWith ".npy" file) ->
            raise (UserError $"--out {file}: expected a file that ends in .png or .npy")
        | _ -> ()

    /// The samples' ends, each with its class where there are some: [n; …] in the data's units, twice.
    let private ends (terminal: Terminal) (model: GenerativeModel) (choice: InterpolateChoice) =
        let classes = model.Classes

        let numberOf (given: string) =
            match Int32.TryParse given with
            | true, k when k >= 0 && k < classes.Length -> k
            | _ -> List.findIndex ((=) (Names.find "--between" "class" "classes" id classes given)) classes

        match choice.Data, choice.Between with
        | Some file, between ->
            let x = Validation.samples model Setting.Data (DataOption.array file)

            if x.Shape[0] % 2 <> 0 then
                raise (
                    UserError
                        $"--data {file}: {x.Shape[0]} samples: expected an even number, the two ends of each pair in turn"
                )

            let classes =
                match between with
                | Some(a, b) when model.Labels -> Some(numberOf a, numberOf b)
                | Some(a, b) ->
                    raise (
                        UserError $"--between {a} {b}: this run's network takes no class: leave it out beside --data"
                    )
                | None when model.Labels ->
                    raise (
                        UserError
                            $"--data {file}: this run's network takes the class as an input, and a file has no classes: say those of the ends with --between"
                    )
                | None -> None

            let every first =
                Tensor.indexSelect
                    0
                    (Tensor.ofArray [ x.Shape[0] / 2 ] [| for k in first..2 .. x.Shape[0] - 1 -> int64 k |])
                    x

            let all = Option.map (Array.create (x.Shape[0] / 2))
            (every 0, all (Option.map fst classes)), (every 1, all (Option.map snd classes))
        | None, between ->
            let data = DataOption.heldOut terminal model None
            let asked = choice.Pairs |> Option.defaultValue (if model.IsImage then 8 else 500)
            // Enough for some of every class, where a class is asked for.
            let wanted = if between.IsSome then max 200 (4 * classes.Length * asked) else 2 * asked
            let batch = Dataset.heldOut Kind.Float64 wanted (Rng.ofSeed choice.Seed |> Rng.named "pairs") data
            let there = batch.Data.Shape[0]

            let pairs =
                match choice.Pairs with
                | _ when between.IsSome -> asked
                | _ when there < 2 ->
                    raise (
                        UserError
                            $"{data.Name}: one sample is held out, and a pair takes two: give the ends with --data"
                    )
                | Some n when 2 * n > there ->
                    raise (UserError $"--pairs {n}: {there} samples are held out: ask for at most {there / 2}")
                | _ -> min asked (there / 2)

            let labels =
                batch.Label
                |> Option.filter (fun labels -> labels.Dtype = Dtype.Int64)
                |> Option.map (Tensor.toArray<int64> >> Array.map int)

            let take (places: int[]) =
                let x = Tensor.indexSelect 0 (Tensor.ofArray [ places.Length ] (Array.map int64 places)) batch.Data
                let own = labels |> Option.map (fun labels -> places |> Array.map (fun i -> labels[i]))
                Dataset.inData data x, (if model.Labels then own else None)

            match between, labels with
            | None, _ -> take [| 0 .. pairs - 1 |], take [| pairs .. 2 * pairs - 1 |]
            | Some(a, b), None ->
                raise (UserError $"--between {a} {b}: the samples of {data.Name} come without classes: leave it out")
            | Some(a, b), Some labels ->
                let some skip k =
                    let places = labels |> Seq.indexed |> Seq.filter (fun (_, label) -> label = k) |> Seq.map fst
                    places |> Seq.skip (min skip (Seq.length places)) |> Seq.truncate pairs |> Array.ofSeq

                let a, b = numberOf a, numberOf b
                let first = some 0 a
                let second = some (if a = b then pairs else 0) b

                if first.Length < pairs || second.Length < pairs then
                    raise (UserError $"--pairs {pairs}: too few samples of a class are held out: ask for fewer")

                take first, take second

    /// The frames' samples in the data's units, frame by frame: decoded mixtures of the encoded ends.
    let private frames
        (terminal: Terminal)
        (flow: FlowPlan)
        (batch: int)
        (choice: InterpolateChoice)
        (a, labelsA)
        (b, labelsB)
        =
        let model = flow.Model
        let mix = if choice.Linear then Latents.linear else Latents.spherical

        let carried part toNoise labels x =
            Progress.run terminal part 1.0 (fun report -> (FlowPlan.carryAll flow toNoise batch report labels x).X)

        let latentA = carried "encoding" true labelsA (GenerativeModel.inside model a)
        let latentB = carried "encoding" true labelsB (GenerativeModel.inside model b)

        [| for k in 0 .. choice.Frames - 1 do
               let w = float k / float (choice.Frames - 1)
               // Half of the way is under the class that it comes from.
               let labels = if w < 0.5 then labelsA else labelsB
               w,
               Scope.run (fun () ->
                   GenerativeModel.outside model (carried "decoding" false labels (mix w latentA latentB))) |]

    let private run (terminal: Terminal) (model: ModelArgument list) (arguments: InterpolateArgument list) =
        let options = ModelChoice.ofArguments terminal.Known model
        let choice = List.fold choose usual arguments
        let terminal = { terminal with Quiet = options.Quiet }
        check choice
        let plain = ModelChoice.model "./fokker interpolate moons" options
        let request = ModelChoice.generation options choice.Tolerance None plain
        let struct (flow, batch) = Validation.flow "an interpolation" plain request
        let model = flow.Model
        let first, last = ends terminal model choice
        let frames = frames terminal flow batch choice first last

        // The flow there and back again, without a stop between.
        let apart = snd frames[0] - fst first
        let typical = Math.Sqrt((Tensor.mean (Tensor.square apart)).ToFloat())

        let picture =
            match choice.Out, ModelChoice.runFolder options with
            | Some file, _ -> file
            | None, Some folder -> folder.File "interpolation.png"
            | None, None -> "interpolation.png"

        let way = if choice.Linear then "linear" else "spherical"

        let files =
            if endsWith ".npy" picture then
                Scope.run0 (fun () -> Npy.write picture ((Tensor.stack 1 (Array.map snd frames)).To Dtype.Float64))
                [ picture ]
            else
                let page = IO.Path.ChangeExtension(picture, ".html") |> string
                Results.interpolation model way frames picture page
                [ picture; page ]

        Terminal.tell
            terminal
            $"{(fst first).Shape[0]} pairs of {model.Name} at {choice.Frames} points each; the ends come back with an error of {typical:G3} in root mean square"

        for file in files do
            Terminal.tell terminal file

        Terminal.give
            terminal
            (Json.object
                [ yield! Described.model model
                  "pairs", Json.whole (int64 (fst first).Shape[0])
                  "frames", Json.whole (int64 choice.Frames)
                  "way", Json.text way
                  yield! Described.flow flow
                  "roundTrip", Json.node (Json.object [ "rootMeanSquare", Json.number typical ])
                  "files", Json.array (Seq.map Json.text files) ])

        Exit.Success

    let command =
        Command.makeWith<ModelArgument, InterpolateArgument>
            "interpolate"
            "goes from one sample to another through their latents: strips and an animation"
            [ "./fokker interpolate moons", "pairs of held-out points"
              "./fokker interpolate fashion-mnist --between sneaker bag --frames 12", "from one class to another"
              "./fokker interpolate --oracle mixture.json --rtol 1e-6 --out ways.png", "where the flow is exact" ]
            run
