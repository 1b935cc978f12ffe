namespace Fokker.Experiments

open System
open Fokker
open Fokker.Tool
open Fokker.Pictures
open Fokker.Report

/// Who is biased by how much: every road to a generative model on laws whose entropy is known, from one budget of training time. What a model's own likelihood is above
/// the entropy is KL(law ‖ model), which nothing but a distance between laws makes zero.
module BiasStudy =

    let private standardSeeds, standardMinutes, standardCount = 3, 1.0, 4000
    let private draws = 4

    /// The mixtures' entropies are estimated with the likelihoods, sample by sample; the moons' density is found by quadrature.
    let private data () : Dataset list =
        [ for d in [ 2; 8 ] do
              yield Dataset.ofMixture $"mixture in {d}-D" $"mixture in {d}-D" (LikelihoodStudy.mixture d)
          yield Datasets.load "moons" ]

    [<NoComparison; NoEquality>]
    type private Road = { Name: string; What: string; Ask: TrainingRequest }

    let private roads: Road list =
        let standard = TrainingRequest.standard
        let loss name = { standard with Loss = Some name }
        let flow network = { loss "mle" with Network = Some network }

        [ { Name = "cnf"; What = "a velocity, by the likelihood of its flow"; Ask = loss "cnf" }
          { Name = "cfm"; What = "a velocity, by regression"; Ask = loss "cfm" }
          { Name = "dsm"; What = "a score, by regression"; Ask = loss "dsm" }
          { Name = "vlb"; What = "a score, by the variational bound"; Ask = loss "vlb" }
          { Name = "edm"; What = "a denoiser, preconditioned"; Ask = loss "edm" }
          { Name = "realnvp"; What = "an exact flow of affine couplings"; Ask = flow "realnvp" }
          { Name = "spline"; What = "an exact flow of spline couplings"; Ask = flow "spline" }
          { Name = "maf"; What = "an exact autoregressive flow"; Ask = flow "maf" }
          { Name = "persistent"
            What = "an energy, by persistent contrastive divergence"
            Ask = loss "persistent" }
          { Name = "equilibrium"
            What = "an energy whose slope leads to the data; it has no density"
            Ask = loss "equilibrium" }
          { Name = "dfm-kl"; What = "jumps between 128 cells a coordinate; a bound"; Ask = loss "dfm-kl" }
          { Name = "f2d2"; What = "a flow map with its log-determinant, 8 jumps"; Ask = loss "f2d2" } ]

    [<NoComparison; NoEquality>]
    type private Outcome =
        {
            Law: string
            Road: string
            /// Nats above the entropy and their error, for each seed; none without a density.
            Excess: Estimate option list
            /// W₂ over that of two sets of the law's own samples.
            Ratio: float list
            Steps: int64
        }

    /// Nats above the entropy, as `evaluate` finds them; of a map that has learned its log-determinant, over eight jumps.
    let private excess (data: Dataset) (count: int) (model: GenerativeModel) : Estimate option =
        let rng = model.Stream "nats"

        match HeldOut.density model data count rng (fun _ _ -> ()), model.Dynamics, HeldOut.law data with
        | Some found, _, _ -> found.Excess
        | None, Mapping map, Some law ->
            Scope.run (fun () ->
                let x = Dataset.inData data (Dataset.heldOut Kind.Float64 count rng data).Data
                let way = ByJumps(map, [| for k in 0..8 -> float k / 8.0 |])
                let batch = (Samples.standardFor model).Batch
                let found = Densities.find model way 0.0 batch (Rng.named "probes" rng) (fun _ _ -> ()) None (x, None)
                Some(Estimate.ofDraws (Array.map2 (-) (Tensor.toFloats (law x)) found.Nats)))
        | None, _, _ -> None

    let private outcomes (terminal: Terminal) (options: StudyOptions) : Outcome list =
        let seeds, count = defaultArg options.Seeds standardSeeds, defaultArg options.Count standardCount
        let laws = data ()
        let total = float (laws.Length * roads.Length * seeds)
        let quiet = { terminal with Quiet = true }

        let cases =
            [ for data in laws do
                  for road in roads -> data, road ]

        // The steps that the budget paid for, and of each seed whether there is a density, the nats, their error and the ratio.
        let piece (report: Ticker) k (data: Dataset, road: Road) () : float[] =
            let recipe = TrainingRequest.recipe data road.Ask

            let steps =
                match options.Steps with
                | Some steps -> steps
                | None ->
                    // The same for all seeds: what differs between them is then the seed.
                    let minutes = defaultArg options.Minutes standardMinutes
                    Speed.stepsOn Study.processor quiet minutes (Runs.job recipe data)

            [| float steps
               for seed in 1..seeds do
                   report (float (k * seeds + seed - 1) / total) $"{data.Name}, {road.Name}, {steps} steps"
                   let model = Runs.fit { recipe with Steps = steps; Seed = int64 seed } data
                   let nats = excess data count model
                   let ratio = OverFloor.wasserstein2 data draws count model
                   Scope.free model

                   match nats with
                   | Some nats -> yield! [ 1.0; nats.Mean; nats.StandardError ]
                   | None -> yield! [ 0.0; 0.0; 0.0 ]

                   ratio |]

        let found =
            Progress.run terminal "bias" 1.0 (fun report ->
                cases |> List.mapi (piece report) |> Study.shared options.Ranks (1 + 4 * seeds))

        [ for (data, road), figures in List.zip cases found ->
              let own = figures |> Array.tail |> Array.chunkBySize 4 |> List.ofArray

              { Law = data.Name
                Road = road.Name
                Excess =
                  [ for seed in own ->
                        if seed[0] > 0.0 then Some { Mean = seed[1]; StandardError = seed[2]; Draws = count } else None ]
                Ratio = [ for seed in own -> seed[3] ]
                Steps = int64 figures[0] } ]

    let private shown (values: float list) =
        match values with
        | [ value ] -> Cell.Number value
        | values -> Cell.Text(Study.plusMinus (Study.meanAndDeviation values))

    let private run (terminal: Terminal) (options: StudyOptions) : Findings =
        let all = outcomes terminal options
        let laws = all |> List.map _.Law |> List.distinct

        let table law =
            let own = all |> List.filter (fun o -> o.Law = law)

            Study.table
                law
                "Nats above the entropy (mean and deviation over seeds, or one seed's), the error of the estimate, W₂ over the floor of the law's own samples, and the steps that the budget paid for."
                [ "road"; "what is learned"; "nats above the entropy"; "± of one"; "W₂ / floor"; "steps" ]
                [ for o in own ->
                      [ Cell.Text o.Road
                        Cell.Text (roads |> List.find (fun r -> r.Name = o.Road)).What
                        match List.choose id o.Excess with
                        | [] ->
                            Cell.Missing
                            Cell.Missing
                        | known ->
                            shown (known |> List.map _.Mean)
                            Cell.Number(known |> List.averageBy _.StandardError)
                        shown o.Ratio
                        Cell.Number(float o.Steps) ] ]

        let chart: LineChart =
            { XLabel = "W₂ over its floor"
              YLabel = "nats above the entropy"
              LogX = true
              LogY = true
              Lines =
                [ for k, road in List.indexed roads do
                      let own = all |> List.filter (fun o -> o.Road = road.Name && List.exists Option.isSome o.Excess)

                      { Label = road.Name
                        Tone = Tone.Series k
                        Stroke = Stroke.Marked
                        X = [| for o in own -> List.average o.Ratio |]
                        Y = [| for o in own -> o.Excess |> List.choose id |> List.averageBy _.Mean |> max 1e-4 |] } ] }

        { DataSet = String.concat ", " laws
          Summary =
            "Diffusion, flow matching and consistency models have been called biased approximations of continuous normalizing flows. Here is by how much each road misses laws whose entropy is known, from one budget of training."
          Headlines = []
          Sections =
            [ yield! List.map table laws
              { Title = "Density against samples"
                Note =
                  "A road has a mark for each law: to the left are good samples, below good densities. Values under 0.0001 nats are drawn there."
                Bodies = [ Body.Lines chart ] } ]
          Json =
            [ "outcomes",
              Json.array
                  [ for o in all ->
                        Json.node (
                            Json.object
                                [ "law", Json.text o.Law
                                  "road", Json.text o.Road
                                  "steps", Json.whole o.Steps
                                  "excess",
                                  Json.array
                                      [ for e in o.Excess -> Json.optional (fun (e: Estimate) -> Json.number e.Mean) e ]
                                  "ratio", Json.array (List.map Json.number o.Ratio) ]
                        ) ] ] }

    let study: Study =
        { Name = "bias"
          Summary = "nats above a known entropy and distance of samples, for every road to a model"
          Reference =
            "the claim of a discussion of flow-based models; the roads' own papers, which `fokker list losses` names"
          Uses =
            [ "--minutes", "minutes of the processor for each training (1)"
              "--steps", "steps of each training in place of minutes"
              "--seeds", "trainings of each (3)"
              "--count", "samples that are measured (4,000)" ]
          IsShared = true
          Run = run }
