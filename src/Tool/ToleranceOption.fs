namespace Fokker.Tool

open Fokker

/// What `--rtol` and `--atol` do to the other options of a model.
[<RequireQualifiedAccess>]
module ToleranceOption =

    /// How the options say that the model is to be sampled from, in steps chosen by their error where a tolerance is given. Raises UserError where
    /// options exclude each other.
    let drawing (subject: Subject) (model: ModelChoice) (given: ToleranceChoice) : Drawing =
        let control = Following.control subject.Kind given

        let model =
            match control with
            | Fixed -> model
            | Adaptive _ ->
                for option, isGiven in [ "--steps", model.Steps.IsSome; "--grid", model.Grid.IsSome ] do
                    if isGiven then
                        raise (
                            UserError
                                $"{option}: with --rtol the steps are chosen by their error: leave one of the two out"
                        )

                // Adaptive steps need an estimate of their error, which the standard sampler has not.
                if model.Solver.IsNone then { model with Solver = Some Tableau.dormandPrince.Name } else model

        { ModelChoice.drawing subject model with Control = control }

    /// The flow that the options ask for. Raises UserError as `drawing` and `Following.make` do.
    let following
        (what: string)
        (subject: Subject)
        (model: ModelChoice)
        (given: ToleranceChoice)
        (clean: float option)
        =
        Following.make what subject (drawing subject model given) clean
