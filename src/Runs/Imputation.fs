namespace Fokker

open System

/// Rows of which some cells are empty, completed by samples of the law of the empty ones given the others: multiple imputation (Rubin 1987, Multiple imputation for nonresponse in
/// surveys), with a generative model in the place of a parametric one.
[<RequireQualifiedAccess>]
module Imputation =

    /// The rows [n; …] with NaN in the empty cells, in the data's units, each completed `count` times: [n · count; …] float64, a row's completions next to each other, the cells that
    /// are there as they are. `request` says how the flow is followed and which method steers (mmps; repaint:20 where the data have words, repaint:10 of series), its seed the draws; what it says of counts and arrays does not matter. `report`
    /// hears how far it has come. Raises RefusedException where the rows do not fit the model, or the model cannot be steered.
    let complete
        (model: GenerativeModel)
        (request: SamplingRequest)
        (given: GivenArray)
        (count: int)
        (report: Ticker)
        : Tensor =
        if count < 1 then
            refuse Setting.Count count $"expected a whole number of at least 1"

        let rows = given.Values.To Dtype.Float64
        let d = model.Dimension

        if rows.Rank < 2 || List.ofArray rows.Shape[1..] <> model.Shape then
            let wanted = String.Join("; ", "n" :: List.map string model.Shape)
            refuse Setting.Data given.Name $"its shape is {rows.Describe()}: {model.Name} is of samples [{wanted}]"

        let values = Tensor.toFloats rows

        if values |> Array.exists Double.IsInfinity then
            refuse Setting.Data given.Name $"it holds infinity: expected finite numbers, and NaN where a cell is empty"

        let repaint (times: int) =
            { request with
                Steering = { request.Steering with Method = Some(Catalogue.steerings.Find $"repaint:{times}") } }

        let request =
            match request.Steering.Method with
            | None when model.Columns |> List.exists _.IsCategory ->
                // A missing word has as many modes as there are words: what follows one mean of them ends between, or far outside.
                repaint 20
            | None when Units.areSeries model.Shape model.Units ->
                // What follows in a series is tied to what is seen much more closely than by the Gaussian law that mmps takes it for: its spread comes out several times too wide.
                repaint 10
            | _ -> request

        if model.Labels && request.Generation.Class.IsNone then
            refuse Setting.Data given.Name $"this model's network is told the class: say which with {Setting.Class}"

        let n = rows.Shape[0]
        let isEmpty = Array.map Double.IsNaN values
        let filled = Array.init (n * count) (fun i -> Array.sub values (i / count * d) d)
        let pattern row = Array.sub isEmpty (row * d) d

        let groups =
            [ 0 .. n - 1 ] |> List.filter (fun row -> Array.contains true (pattern row)) |> List.groupBy pattern

        let mutable finished = 0
        let total = groups |> List.sumBy (snd >> List.length)

        for index, (empty, own) in List.indexed groups do
            let seen = empty |> Array.map (fun e -> if e then 0.0 else 1.0)
            let several =
                [| for row in own do
                       for _ in 1..count -> row |]

            let steering =
                if Array.contains false empty then
                    let y =
                        several
                        |> Array.collect (fun row ->
                            Array.init d (fun k -> if empty[k] then 0.0 else values[row * d + k]))

                    { request.Steering with
                        Observation = Some(Observation.make (Operator.Mask(Tensor.ofArray model.Shape seen)) 0.0)
                        Observed = Some { Name = given.Name; Values = Tensor.ofArray (several.Length :: model.Shape) y } }
                else
                    // Nothing is known of these: they are samples of the law itself.
                    SteeringRequest.none

            let task =
                Validation.sampling
                    model
                    { request with
                        Steering = steering
                        Count = Some several.Length
                        Start = None
                        Noise = None
                        SourceSamples = None
                        Replay = None }

            let share = float own.Length / float total

            let told done' words = report ((float finished / float total) + share * done') words

            let x =
                Scope.run (fun () ->
                    Tensor.toFloats (
                        Samples.draw task.Model task.Drawing (Rng.at (int64 index) task.Key) several.Length told
                    ))

            for place, row in List.indexed own do
                for k in 0 .. count - 1 do
                    for column in 0 .. d - 1 do
                        if empty[column] then
                            filled[row * count + k][column] <- x[(place * count + k) * d + column]

            finished <- finished + own.Length

        Tensor.ofArray (n * count :: model.Shape) (Array.concat filled)
