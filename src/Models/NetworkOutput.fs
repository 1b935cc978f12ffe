namespace Fokker

open System
open System.Text.Json.Nodes

/// What the numbers of a network stand for: with a path, all that turns a network into dynamics that samples, densities or latents come from.
[<RequireQualifiedAccess; NoComparison; NoEquality>]
type NetworkOutput =
    /// A prediction on a Gaussian path, where `preconditioning` says so behind c_in, c_skip, c_out, c_noise (then the prediction is the data), and with
    /// a second output for the variance of the reverse steps where that was learned.
    | Prediction of Prediction * preconditioning: Preconditioning option * withVariance: bool
    /// A potential g(t, x), one number for each sample, whose gradient in x is a prediction on a Gaussian path (`EnergyNetwork`).
    | Potential of Prediction
    /// A potential g(x), told the time 0 always, of an energy: E = ½ ‖x‖² + g where e^{−E}/Z `isLaw`, else E = g whose minima are the data.
    | Energy of isLaw: bool
    /// A prediction that is told beside the time how far to guide: w in y_null + (1 + w) (y_c − y_null), of this range.
    | Guided of Prediction * preconditioning: Preconditioning option * least: float * most: float
    /// The velocity dx/dt of the interpolant α(t)·x₀ + σ(t)·x₁ between two laws under a coupling.
    | Velocity
    /// The velocity of the Brownian bridge with γ = s √(t (1 − t)) between two laws and, where `withScore`, E[z | x_t] as a second output.
    | Bridge of s: float * withScore: bool
    /// A consistency function f(t, x_t) ≈ x₀, behind what holds it to its boundary condition.
    | ConsistencyFunction of Boundary
    /// The mean velocity u((t, s), x_t) of a flow map between any two times of this range and, where `withLogDeterminant`, by a second output whose mean over coordinates
    /// is ℓ, log |det ∂X/∂x| = d (s − t) ℓ.
    | MeanVelocity of noisy: float * clean: float * withLogDeterminant: bool
    /// What x is at the other end of an exact flow, of data with noise of this deviation on them, and by a second output whose mean over coordinates is ℓ, log |det| = d ℓ.
    | OtherEnd of noise: float
    /// log p(x₀ⁱ | x_t) but for a constant, for each coordinate and token.
    | TokenLogits of Tokens
    /// t times the rates of jumps to each cell, before their softplus, and where there is a flow too its velocity.
    | JumpRates of Cells
    /// Latents of samples and samples of latents (`Autoencoder`), whose law is N(0, I).
    | Latents
    /// The logits of p(c | t, x_t): a classifier of noisy samples, which guides and is not sampled from.
    | ClassLogits

[<RequireQualifiedAccess>]
module NetworkOutput =

    /// Outputs of the network for every coordinate of a sample.
    let count (output: NetworkOutput) : int =
        match output with
        | NetworkOutput.Prediction(_, _, true)
        | NetworkOutput.Bridge(_, true)
        | NetworkOutput.MeanVelocity(_, _, true)
        | NetworkOutput.OtherEnd _
        | NetworkOutput.Latents -> 2
        | NetworkOutput.TokenLogits tokens -> tokens.Count
        | NetworkOutput.JumpRates cells -> GeneratorMatching.outputs cells
        | _ -> 1

    /// How the numbers of a network become the one that is its output, where that is a potential. An energy's law is to have a Z: its potential must grow no faster than ½ ‖x‖².
    let head (output: NetworkOutput) : Head option =
        match output with
        | NetworkOutput.Potential _
        | NetworkOutput.Energy false -> Some Head.Dot
        | NetworkOutput.Energy true -> Some Head.Sum
        | _ -> None

    /// What the network is for.
    let role (output: NetworkOutput) : NetworkRole =
        match output with
        | NetworkOutput.OtherEnd _ -> NetworkRole.Bijection
        | NetworkOutput.Latents -> NetworkRole.Autoencoder
        | _ -> NetworkRole.Field

    /// Times that the network is told: 2 for a map from one to the other.
    let times (output: NetworkOutput) : int =
        match output with
        | NetworkOutput.MeanVelocity _
        | NetworkOutput.Guided _
        | NetworkOutput.Latents -> 2
        | _ -> 1

    /// The least and the greatest guidance weight w that a network is told, where it is told one.
    let knob (output: NetworkOutput) : (float * float) option =
        match output with
        | NetworkOutput.Guided(_, _, least, most) -> Some(least, most)
        | _ -> None

    /// A network of a time and a guidance weight at given weights, 0-dimensional or [B]: one of a time. Any other as it is.
    let atKnob (output: NetworkOutput) (w: Tensor) (network: Condition -> Field) : Condition -> Field =
        match output with
        | NetworkOutput.Guided(_, _, least, most) ->
            // From 0 to 1, as times are: the network's frequencies are made for that.
            let place = (w - least) / (most - least)

            fun condition ->
                let network = network condition
                fun t x -> network (FlowMap.times t place) x
        | _ -> network

    let private preconditioned (p: Preconditioning option) (network: Condition -> Field) : Condition -> Field =
        match p with
        | None -> network
        | Some p -> network >> Preconditioning.wrap p

    /// f, from a raw network.
    let bounded (path: GaussianPath) (boundary: Boundary) : Field -> Field =
        match boundary with
        | Parametrized sigmaData -> Preconditioning.wrap (Preconditioning.consistency sigmaData path)
        | Rotated ->
            fun network t x -> Coefficient.combine [ Curve.at path.Alpha t, x; Curve.at (-path.Sigma) t, network t x ]
        | Penalized -> id

    /// A network with both of its outputs, of x's width each.
    let private both (network: Condition -> Field) (condition: Condition) =
        let network = network condition

        fun t (x: Tensor) ->
            let y = network t x
            let width = x.Shape[1]
            struct (Tensor.narrow 1 0 width y, Tensor.narrow 1 width width y)

    let private withLogDeterminant (path: GaussianPath) (domain: MapDomain) (network: Condition -> Field) : Dynamics =
        Mapping
            { Path = path
              Domain = domain
              Map = Networks.part 0 network
              WithLogDeterminant =
                Some(fun condition ->
                    let both = both network condition

                    fun times x ->
                        let struct (said, rate) = both times x
                        struct (said, Tensor.meanRows rate)) }

    /// What a network of this output knows on a path. Raises UserError for a classifier: there are no dynamics in it.
    let rec dynamics (path: GaussianPath) (output: NetworkOutput) (network: Condition -> Field) : Dynamics =
        match output with
        | NetworkOutput.Prediction(prediction, preconditioning, false) ->
            Denoising(Model.make path prediction (preconditioned preconditioning network))
        | NetworkOutput.Prediction(prediction, preconditioning, true) ->
            Denoising
                { Model.make path prediction (preconditioned preconditioning (Networks.part 0 network)) with
                    WithVariance = Some(both network) }
        | NetworkOutput.Potential prediction ->
            Denoising(Model.make path prediction (network >> EnergyNetwork.gradient))
        | NetworkOutput.Energy isLaw -> Landscape(Energy.ofNetwork isLaw network)
        // Unguided where nobody says how far.
        | NetworkOutput.Guided(_, _, least, most) ->
            dynamicsAt (System.Math.Clamp(0.0, least, most)) path output network
        | NetworkOutput.Velocity ->
            Transport { Interpolant = Interpolant.ofPath path; Velocity = network; Noise = None }
        | NetworkOutput.Bridge(s, false) ->
            Transport { Interpolant = Interpolant.bridge s; Velocity = network; Noise = None }
        | NetworkOutput.Bridge(s, true) ->
            Transport
                { Interpolant = Interpolant.bridge s
                  Velocity = Networks.part 0 network
                  Noise = Some(Networks.part 1 network, Constant(s * s)) }
        | NetworkOutput.ConsistencyFunction boundary ->
            Mapping { Path = path; Domain = ToData; Map = network >> bounded path boundary; WithLogDeterminant = None }
        | NetworkOutput.MeanVelocity(noisy, clean, false) ->
            Mapping { Path = path; Domain = Between(noisy, clean); Map = network; WithLogDeterminant = None }
        | NetworkOutput.MeanVelocity(noisy, clean, true) -> withLogDeterminant path (Between(noisy, clean)) network
        | NetworkOutput.OtherEnd noise -> withLogDeterminant path (Ends noise) network
        | NetworkOutput.TokenLogits tokens ->
            Jumping { Path = path; Space = JumpSpace.Tokens tokens; Network = network }
        | NetworkOutput.JumpRates cells -> Jumping { Path = path; Space = JumpSpace.Line cells; Network = network }
        // The prior's velocity, ½ x d log(α² + σ²)/dt: 0 on a path with α² + σ² = 1, where noise is the sample. Said as a velocity, which is finite at both ends.
        | NetworkOutput.Latents ->
            let variance = path.Alpha * path.Alpha + path.Variance
            let rate = 0.5 * Curve.derivative variance / variance
            Denoising(
                Model.make path Prediction.velocity (fun _ -> fun t x -> Coefficient.combine [ Curve.at rate t, x ])
            )
        | NetworkOutput.ClassLogits ->
            raise (UserError "a classifier is no law to sample from or to measure: it guides a model")

    /// The dynamics of a network that is told a guidance weight, at one; any other's.
    and dynamicsAt (w: float) (path: GaussianPath) (output: NetworkOutput) (network: Condition -> Field) : Dynamics =
        match output with
        | NetworkOutput.Guided(prediction, preconditioning, _, _) ->
            dynamics
                path
                (NetworkOutput.Prediction(prediction, preconditioning, false))
                (atKnob output (Tensor.scalar Kind.Float64 w) network)
        | _ -> dynamics path output network

    // ---- as JSON, in a model's file

    /// The output as JSON: `{"says": "prediction", "prediction": "velocity"}`.
    let toJson (output: NetworkOutput) : JsonObject =
        let json = JsonObject()
        let text (name: string) (value: string) = json[name] <- JsonValue.Create value
        let number (name: string) (value: float) = json[name] <- JsonValue.Create value
        let flag (name: string) (value: bool) = json[name] <- JsonValue.Create value

        match output with
        | NetworkOutput.Prediction(prediction, preconditioning, withVariance) ->
            text "says" "prediction"
            text "prediction" prediction.Name
            preconditioning |> Option.iter (fun p -> text "preconditioning" p.Name)
            flag "variance" withVariance
        | NetworkOutput.Potential prediction ->
            text "says" "potential"
            text "prediction" prediction.Name
        | NetworkOutput.Energy isLaw ->
            text "says" "energy"
            flag "law" isLaw
        | NetworkOutput.Guided(prediction, preconditioning, least, most) ->
            text "says" "guided-prediction"
            text "prediction" prediction.Name
            preconditioning |> Option.iter (fun p -> text "preconditioning" p.Name)
            number "least" least
            number "most" most
        | NetworkOutput.Velocity -> text "says" "velocity"
        | NetworkOutput.Bridge(s, withScore) ->
            text "says" "bridge"
            number "s" s
            flag "score" withScore
        | NetworkOutput.ConsistencyFunction boundary ->
            text "says" "consistency"

            match boundary with
            | Parametrized sigmaData -> number "sigmaData" sigmaData
            | Rotated -> text "boundary" "rotated"
            | Penalized -> ()
        | NetworkOutput.MeanVelocity(noisy, clean, withLogDeterminant) ->
            text "says" "mean-velocity"
            number "noisy" noisy
            number "clean" clean

            if withLogDeterminant then
                flag "logDeterminant" true
        | NetworkOutput.OtherEnd noise ->
            text "says" "other-end"
            number "noise" noise
        | NetworkOutput.TokenLogits tokens ->
            text "says" "token-logits"
            number "tokens" (float tokens.Count)
            number "bound" tokens.Bound
            text "source" (if tokens.Source.IsMask then "mask" else "uniform")
        | NetworkOutput.JumpRates cells ->
            text "says" "jump-rates"
            number "cells" (float cells.Count)
            number "bound" cells.Bound
            number "flow" cells.Flow
        | NetworkOutput.Latents -> text "says" "latents"
        | NetworkOutput.ClassLogits -> text "says" "class-logits"

        json

    /// The inverse of `toJson`, on a path. Raises FormatException or KeyNotFoundException where it is something else.
    let ofJson (path: GaussianPath) (json: JsonObject) : NetworkOutput =
        let field (name: string) (read: JsonNode -> 'T) : 'T option = json[name] |> Option.ofObj |> Option.map read

        let required (name: string) (read: JsonNode -> 'T) : 'T =
            match field name read with
            | Some value -> value
            | None -> raise (FormatException $"the description of the network's output has no '{name}'")

        let text (node: JsonNode) = node.GetValue<string>()
        let number (node: JsonNode) = node.GetValue<float>()
        let flag (node: JsonNode) = node.GetValue<bool>()

        match required "says" text with
        | "prediction"
        | "potential"
        | "guided-prediction" as says ->
            let name = required "prediction" text

            match Prediction.all |> List.tryFind (fun p -> p.Name = name) with
            | Some prediction ->

                let preconditioning =
                    field "preconditioning" text |> Option.map (fun name -> Preconditioning.find name path)

                if says = "potential" then
                    NetworkOutput.Potential prediction
                elif says = "guided-prediction" then
                    NetworkOutput.Guided(prediction, preconditioning, required "least" number, required "most" number)
                else
                    NetworkOutput.Prediction(prediction, preconditioning, field "variance" flag = Some true)
            | None -> raise (FormatException $"there is no prediction '{name}'")
        | "energy" -> NetworkOutput.Energy(required "law" flag)
        | "velocity" -> NetworkOutput.Velocity
        | "bridge" -> NetworkOutput.Bridge(required "s" number, field "score" flag = Some true)
        | "consistency" ->
            match field "boundary" text, field "sigmaData" number with
            | Some "rotated", _ -> NetworkOutput.ConsistencyFunction Rotated
            | Some other, _ ->
                raise (FormatException $"a consistency function with the boundary '{other}' is not known here")
            | None, Some sigmaData -> NetworkOutput.ConsistencyFunction(Parametrized sigmaData)
            | None, None -> NetworkOutput.ConsistencyFunction Penalized
        | "mean-velocity" ->
            NetworkOutput.MeanVelocity(
                required "noisy" number,
                required "clean" number,
                field "logDeterminant" flag = Some true
            )
        | "other-end" -> NetworkOutput.OtherEnd(required "noise" number)
        | "token-logits" ->
            NetworkOutput.TokenLogits
                { Count = int (required "tokens" number)
                  Bound = required "bound" number
                  Source =
                    match required "source" text with
                    | "mask" -> TokenSource.Mask
                    | "uniform" -> TokenSource.Uniform
                    | other -> raise (FormatException $"tokens from the source '{other}' are not known here") }
        | "jump-rates" ->
            NetworkOutput.JumpRates
                { Count = int (required "cells" number)
                  Bound = required "bound" number
                  Flow = required "flow" number }
        | "latents" -> NetworkOutput.Latents
        | "class-logits" -> NetworkOutput.ClassLogits
        | other -> raise (FormatException $"a network that says '{other}' is not known here")
