namespace Fokker.Tool

open System
open Argu
open Fokker

type MinimizeArgument =
    | [<Unique>] Start of file: string
    | [<Unique; AltCommandLine("-n")>] Count of samples: int
    | [<Unique; AltCommandLine("--class")>] Label of label: string
    | [<Unique>] Rate of eta: float
    | [<Unique>] Momentum of share: float
    | [<Unique>] Seed of number: int64
    | [<Unique; AltCommandLine("-o")>] Out of file: string

    interface IArgParserTemplate with
        member argument.Usage =
            match argument with
            | Start _ ->
                "a .npy file of points [n; …] in the data's units to begin at (draws of N(0, I) in the network's units)"
            | Count _ -> "how many random points to begin at (1,000; 16 images)"
            | Label _ -> "the class of all points, where the network is told one: its number or its name"
            | Rate _ -> "η, the length of a step down the slope, for data of unit variance (0.01)"
            | Momentum _ -> "μ, the share of a step that the next one keeps (0.9)"
            | Seed _ -> "seed of the points that are drawn (0)"
            | Out _ -> "a .npy file for the minima, or a .png for a picture of them (minima.npy)"

/// `fokker minimize`: inference with an energy, x that minimizes E(x).
module Minimize =

    let private choose (request: MinimizationRequest, out: string) (argument: MinimizeArgument) =
        match argument with
        | Start file -> { request with MinimizationRequest.Start = Some(DataOption.array file) }, out
        | Count n -> { request with Count = Some n }, out
        | Label name -> { request with Class = Some name }, out
        | Rate eta -> { request with Rate = Some eta }, out
        | Momentum share -> { request with Momentum = Some share }, out
        | Seed seed -> { request with Seed = seed }, out
        | Out file -> request, file

    let private run (terminal: Terminal) (model: ModelArgument list) (arguments: MinimizeArgument list) =
        let options = ModelChoice.ofArguments terminal.Known model
        let request, out = List.fold choose (MinimizationRequest.standard, "minima.npy") arguments
        let terminal = { terminal with Quiet = options.Quiet }
        let isPicture = out.EndsWith(".png", StringComparison.OrdinalIgnoreCase)

        if not (isPicture || out.EndsWith(".npy", StringComparison.OrdinalIgnoreCase)) then
            raise (UserError $"--out {out}: expected a file that ends in .npy or .png")

        let model = ModelChoice.model "./fokker minimize moons" options
        let generation = ModelChoice.generation options { Relative = None; Absolute = None } None model

        for name, isGiven in [ "--solver", generation.Solver.IsSome; "--grid", generation.Grid.IsSome ] do
            if isGiven then
                raise (
                    UserError
                        $"{name}: the descent is the same always, in as many --steps as are asked for: leave it out"
                )

        let request = { request with Steps = generation.Steps }
        let found = Progress.run terminal "minimizing" 1.0 (fun report -> Minimization.find model request report)

        if isPicture then
            Runs.writeBytes out (SamplePicture.png model.Range found.X)
        else
            Scope.run0 (fun () -> Npy.write out (Samples.forFile model found.X))

        let mean (values: float[]) = Array.average values

        Terminal.tell
            terminal
            $"{found.X.Shape[0]} points of {model.Name}, {found.Steps} steps down: E from {mean found.Before:F4} to {mean found.After:F4} in the mean, least {Array.min found.After:F4}; the slope left is {mean found.Slope:G3}"

        Terminal.tell terminal out

        Terminal.give
            terminal
            (Json.object
                [ yield! Described.model model
                  "count", Json.whole (int64 found.X.Shape[0])
                  "steps", Json.whole (int64 found.Steps)
                  "energyBefore", Json.number (mean found.Before)
                  "energy", Json.number (mean found.After)
                  "least", Json.number (Array.min found.After)
                  "slope", Json.number (mean found.Slope)
                  "files", Json.array [ Json.text out ] ])

        Exit.Success

    let command =
        Command.makeWith<ModelArgument, MinimizeArgument>
            "minimize"
            "x that minimizes a model's energy, from given or random points"
            [ "./fokker minimize moons --steps 500 --out minima.npy",
              "a run of the loss persistent, equilibrium or energy-dsm"
              "./fokker minimize --oracle mixture.json --start x.npy",
              "the modes of an exact law, where its density is highest" ]
            run
