namespace Fokker.Tool

open System
open Argu
open Fokker

type EncodeArgument =
    | [<Unique>] Data of file: string
    | [<Unique; AltCommandLine("-n")>] Count of samples: int
    | [<Unique; AltCommandLine("--class")>] Label of label: string
    | [<Unique>] Rtol of tolerance: float
    | [<Unique>] Atol of tolerance: float
    | [<Unique>] Seed of number: int64
    | [<Unique; AltCommandLine("-o")>] Out of file: string

    interface IArgParserTemplate with
        member argument.Usage =
            match argument with
            | Data _ -> "a .npy file of samples [n; …] in the data's units (held-out data; fresh draws of an oracle)"
            | Count _ -> "how many samples where no file gives them (1,000; 100 images)"
            | Label _ -> "one class for all samples of --data: its number or its name"
            | Rtol _ ->
                "adaptive steps: the error of a step stays below atol + rtol·|x|, for each sample by itself (dormand-prince; 1e-5, of images 1e-3, where nothing else is said of the steps)"
            | Atol _ -> "its absolute part (that of --rtol)"
            | Seed _ -> "seed of the samples that are drawn (0)"
            | Out _ ->
                "a .npy file for the latents z [n; …]: the states at the noisy end over σ there, which look like standard normal draws; of a flow between data sets, samples of the one that it starts from, in their own units (latents.npy)"

/// What the options of `fokker encode` come to.
type private EncodeChoice =
    { Data: string option
      Count: int option
      Label: string option
      Tolerance: ToleranceChoice
      Seed: int64
      Out: string }

/// `fokker encode`: from data to the noise that the flow makes them of, and back.
module Encode =

    let private choose (choice: EncodeChoice) (argument: EncodeArgument) : EncodeChoice =
        match argument with
        | Data file -> { choice with Data = Some file }
        | Count n -> { choice with Count = Some n }
        | Label name -> { choice with Label = Some name }
        | Rtol value -> { choice with Tolerance = { choice.Tolerance with Relative = Some value } }
        | Atol value -> { choice with Tolerance = { choice.Tolerance with Absolute = Some value } }
        | Seed seed -> { choice with Seed = seed }
        | Out file -> { choice with Out = file }

    let private usual: EncodeChoice =
        { Data = None
          Count = None
          Label = None
          Tolerance = { Relative = None; Absolute = None }
          Seed = 0L
          Out = "latents.npy" }

    let private check (choice: EncodeChoice) =
        match choice.Count, choice.Data, choice.Label with
        | Some n, _, _ when n < 1 -> raise (UserError $"-n {n}: expected a whole number of at least 1")
        | Some n, Some file, _ -> raise (UserError $"-n {n} and --data {file} both say how many samples: leave -n out")
        | _, None, Some label ->
            raise (UserError $"--class {label}: held-out data have labels of their own: it goes with --data")
        | _ -> ()

        if not (choice.Out.EndsWith(".npy", StringComparison.OrdinalIgnoreCase)) then
            raise (UserError $"--out {choice.Out}: expected a file that ends in .npy")

    let private run (terminal: Terminal) (model: ModelArgument list) (arguments: EncodeArgument list) =
        let options = ModelChoice.ofArguments terminal.Known model
        let choice = List.fold choose usual arguments
        let terminal = { terminal with Quiet = options.Quiet }
        check choice
        let model = ModelChoice.model "./fokker encode moons" options
        let request = ModelChoice.generation options choice.Tolerance None model
        let struct (flow, batch) = Validation.flow "an encoding" model request
        let x, labels = DataOption.samples terminal flow.Model choice.Data choice.Label choice.Count choice.Seed
        let inside = GenerativeModel.inside model x

        let carried toNoise part x =
            Progress.run terminal part 1.0 (fun report -> FlowPlan.carryAll flow toNoise batch report labels x)

        let there = carried true "encoding" inside
        let back = carried false "decoding" there.X
        let apart = GenerativeModel.outside model back.X - x
        let most = (Tensor.max (abs apart)).ToFloat()
        let typical = Math.Sqrt((Tensor.mean (Tensor.square apart)).ToFloat())
        let z = FlowPlan.latents flow there.X
        let deviation = Math.Sqrt((Tensor.mean (Tensor.square there.X)).ToFloat()) / FlowPlan.noiseScale flow

        let dtype =
            match model.Source with
            | Some source when Units.needDouble source.Units -> Dtype.Float64
            | _ -> model.Kind.Dtype

        Scope.run0 (fun () -> Npy.write choice.Out (z.To dtype))
        let cost = Array.averageBy float there.Evaluations

        Terminal.tell
            terminal
            $"{x.Shape[0]} samples of {model.Name} to t = {flow.Plan.Span.Noisy:G3} and back: the error is {typical:G3} in root mean square and {most:G3} at most, in the data's units; {cost:F0} evaluations a sample in each direction"

        Terminal.tell terminal choice.Out

        Terminal.give
            terminal
            (Json.object
                [ yield! Described.model model
                  "count", Json.whole (int64 x.Shape[0])
                  yield! Described.flow flow
                  "evaluations", Json.number cost
                  "roundTrip",
                  Json.node (Json.object [ "rootMeanSquare", Json.number typical; "largest", Json.number most ])
                  "latentDeviation", Json.number deviation
                  "files", Json.array [ Json.text choice.Out ] ])

        Exit.Success

    let command =
        Command.makeWith<ModelArgument, EncodeArgument>
            "encode"
            "follows the flow from data to their latents, and back"
            [ "./fokker encode moons --rtol 1e-5",
              "the latents of held-out data to latents.npy, and the error of the way back"
              "./fokker encode --oracle mixture.json --data x.npy --out z.npy --rtol 1e-9", "where the flow is exact" ]
            run
