namespace Fokker

open System
open System.Text.Json.Nodes

/// What the numbers of a network stand for: with a path, all that turns a network into dynamics that samples, densities or latents come from.
[<RequireQualifiedAccess; NoComparison; NoEquality>]
type NetworkOutput =
    /// A prediction on a Gaussian path, where `preconditioning` says so behind c_in, c_skip, c_out, c_noise (then the prediction is the data), and with
    /// a second output for the variance of the reverse steps where that was learned.
    | Prediction of Prediction * preconditioning: Preconditioning option * withVariance: bool
    /// The velocity dx/dt of the interpolant α(t)·x₀ + σ(t)·x₁ between two laws under a coupling.
    | Velocity
    /// The velocity of the Brownian bridge with γ = s √(t (1 − t)) between two laws and, where `withScore`, E[z | x_t] as a second output.
    | Bridge of s: float * withScore: bool
    /// A consistency function f(t, x_t) ≈ x₀: raw where σ_d is none, else behind the c_skip and c_out that hold it to its boundary condition.
    | ConsistencyFunction of sigmaData: float option
    /// The mean velocity u((t, s), x_t) of a flow map between any two times of this range.
    | MeanVelocity of noisy: float * clean: float
    /// The logits of p(c | t, x_t): a classifier of noisy samples, which guides and is not sampled from.
    | ClassLogits

[<RequireQualifiedAccess>]
module NetworkOutput =

    /// Outputs of the network for every coordinate of a sample.
    let count (output: NetworkOutput) : int =
        match output with
        | NetworkOutput.Prediction(_, _, true)
        | NetworkOutput.Bridge(_, true) -> 2
        | _ -> 1

    /// Times that the network is told: 2 for a map from one to the other.
    let times (output: NetworkOutput) : int =
        match output with
        | NetworkOutput.MeanVelocity _ -> 2
        | _ -> 1

    let private preconditioned (p: Preconditioning option) (network: Condition -> Field) : Condition -> Field =
        match p with
        | None -> network
        | Some p -> network >> Preconditioning.wrap p

    /// A network with both of its outputs, of x's width each.
    let private both (network: Condition -> Field) (condition: Condition) =
        let network = network condition

        fun t (x: Tensor) ->
            let y = network t x
            let width = x.Shape[1]
            struct (Tensor.narrow 1 0 width y, Tensor.narrow 1 width width y)

    /// What a network of this output knows on a path. Raises UserError for a classifier: there are no dynamics in it.
    let dynamics (path: GaussianPath) (output: NetworkOutput) (network: Condition -> Field) : Dynamics =
        match output with
        | NetworkOutput.Prediction(prediction, preconditioning, false) ->
            Denoising(Model.make path prediction (preconditioned preconditioning network))
        | NetworkOutput.Prediction(prediction, preconditioning, true) ->
            Denoising
                { Model.make path prediction (preconditioned preconditioning (Networks.part 0 network)) with
                    WithVariance = Some(both network) }
        | NetworkOutput.Velocity ->
            Transport { Interpolant = Interpolant.ofPath path; Velocity = network; Noise = None }
        | NetworkOutput.Bridge(s, false) ->
            Transport { Interpolant = Interpolant.bridge s; Velocity = network; Noise = None }
        | NetworkOutput.Bridge(s, true) ->
            Transport
                { Interpolant = Interpolant.bridge s
                  Velocity = Networks.part 0 network
                  Noise = Some(Networks.part 1 network, Constant(s * s)) }
        | NetworkOutput.ConsistencyFunction sigmaData ->
            let map =
                match sigmaData with
                | None -> network
                | Some sigmaData -> network >> Preconditioning.wrap (Preconditioning.consistency sigmaData path)

            Mapping { Path = path; Domain = ToData; Map = map }
        | NetworkOutput.MeanVelocity(noisy, clean) ->
            Mapping { Path = path; Domain = Between(noisy, clean); Map = network }
        | NetworkOutput.ClassLogits ->
            raise (UserError "a classifier is no law to sample from or to measure: it guides a model")

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
        | NetworkOutput.Velocity -> text "says" "velocity"
        | NetworkOutput.Bridge(s, withScore) ->
            text "says" "bridge"
            number "s" s
            flag "score" withScore
        | NetworkOutput.ConsistencyFunction sigmaData ->
            text "says" "consistency"
            sigmaData |> Option.iter (number "sigmaData")
        | NetworkOutput.MeanVelocity(noisy, clean) ->
            text "says" "mean-velocity"
            number "noisy" noisy
            number "clean" clean
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
        | "prediction" ->
            let name = required "prediction" text

            match Prediction.all |> List.tryFind (fun p -> p.Name = name) with
            | Some prediction ->

                let preconditioning =
                    field "preconditioning" text |> Option.map (fun name -> Preconditioning.find name path)

                NetworkOutput.Prediction(prediction, preconditioning, field "variance" flag = Some true)
            | None -> raise (FormatException $"there is no prediction '{name}'")
        | "velocity" -> NetworkOutput.Velocity
        | "bridge" -> NetworkOutput.Bridge(required "s" number, field "score" flag = Some true)
        | "consistency" -> NetworkOutput.ConsistencyFunction(field "sigmaData" number)
        | "mean-velocity" -> NetworkOutput.MeanVelocity(required "noisy" number, required "clean" number)
        | "class-logits" -> NetworkOutput.ClassLogits
        | other -> raise (FormatException $"a network that says '{other}' is not known here")
