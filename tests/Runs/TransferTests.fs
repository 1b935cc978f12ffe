module Fokker.Tests.TransferTests

open System
open System.IO
open System.Text.Json.Nodes
open Expecto
open Microsoft.ML.OnnxRuntime
open Fokker
open Fokker.Tests
open Fokker.Tests.CommandLine.Support

// diffusers.json holds what an implementation of UNet2DModel in PyTorch says, written anew from the public description of its layers: configurations, the names and shapes of
// the tensors, and float64 outputs. The numbers in the tensors and in x are the formulas below, there as here.

let private fixtures =
    (nonNull (JsonNode.Parse(File.ReadAllText(Checkout.file "tests/Runs/diffusers.json")))).AsArray()
    |> Seq.map (fun node -> (nonNull node).AsObject())
    |> List.ofSeq

let private field (name: string) (json: JsonObject) : JsonNode = nonNull json[name]
let private what (json: JsonObject) = (field "what" json).GetValue<string>()
let private numbers (name: string) (json: JsonObject) =
    [| for x in (field name json).AsArray() -> (nonNull x).GetValue<float>() |]

/// The tensors of a fixture, in the order of their names.
let private tensors (json: JsonObject) : (string * Tensor) list =
    [ for i, entry in Seq.indexed ((field "tensors" json).AsArray()) ->
          let entry = (nonNull entry).AsArray()
          let name = (nonNull entry[0]).GetValue<string>()
          let shape = [ for size in (nonNull entry[1]).AsArray() -> (nonNull size).GetValue<int>() ]
          let wave j = sin (1.7 * float i + 0.9 * float j + 0.3)
          let isNorm = name.Contains "norm" && name.EndsWith "weight"
          let number j = if isNorm then 1.0 + 0.1 * wave j else 0.25 * wave j
          name, Tensor.ofArray shape (Array.init (List.fold (*) 1 shape) number) ]

let private write (folder: string) (json: JsonObject) (tensors: (string * Tensor) list) =
    Directory.CreateDirectory folder |> ignore
    File.WriteAllText(Path.Combine(folder, "config.json"), (field "config" json).ToJsonString())
    File.WriteAllText(Path.Combine(folder, "scheduler_config.json"), (field "scheduler" json).ToJsonString())
    Safetensors.write (Path.Combine(folder, "diffusion_pytorch_model.safetensors")) [ "format", "pt" ] tensors

let private x () = Tensor.ofArray [ 3; 1; 4; 4 ] (Array.init 48 (fun j -> 1.3 * sin (0.5 * float j + 0.2)))

/// What a network says of x at the fixture's times.
let private said (json: JsonObject) (kind: Kind) (t: TrainedNetwork) : Tensor =
    let labels = if t.Labels then Some(Tensor.ofArray [ 3 ] [| 0L; 1L; 2L |]) else None
    let times = numbers "times" json
    t.Network.Apply (t.Parameters |> Array.map _.To(kind)) labels (Tensor.ofArray [ 3 ] times) ((x ()).To kind)

let private largest (x: Tensor) = (Tensor.max (Tensor.abs x)).ToFloat()

let private close (tolerance: float) (expected: Tensor) (actual: Tensor) (what: string) =
    let expected, actual = expected.To Dtype.Float64, actual.To Dtype.Float64
    Expect.isTrue (actual.Shape = expected.Shape) $"{what}: {actual.Describe()} for {expected.Describe()}"
    let error = largest (actual - expected) / (1.0 + largest expected)
    Expect.isLessThan error tolerance $"{what}: relative error {error:E1}"

let private fixture name = fixtures |> List.find (fun json -> what json = name)
let private names = List.map what fixtures

// ---- ONNX

/// A model of a network with numbers in it that are nothing by construction.
let private modelOf
    (output: NetworkOutput)
    (path: GaussianPath)
    (shape: int list)
    (classes: int)
    (network: Network)
    : GenerativeModel =
    let rng = Rng.ofSeed 3L
    let labels = classes > 0

    GenerativeModel.ofTrained
        "test"
        { Network = network
          Parameters =
            Network.init Kind.Float32 rng network
            |> Array.mapi (fun k p -> p + 0.1 * Rng.normalLike p (Rng.at (int64 k) (Rng.named "more" rng)))
          Path = path
          Output = output
          Shape = shape
          Classes = [ for k in 0 .. classes - 1 -> string k ]
          Units = { Shift = [| 1.0 |]; Scale = [| 2.0 |] }
          Range = None
          Labels = labels
          Given = None
          Null = labels
          Source = None
          Times = []
          Latent = None
          Columns = []
          Kind = Kind.Float32
          Training = { Data = "test"; Digest = None; Loss = "test"; Steps = 0L; Seed = 0L; Version = "" } }

let private part (name: string) (numbers: (string * float) list) (ask: NetworkRequest) : Network =
    Catalogue.networks.Make { Name = name; Numbers = numbers } ask

let private ask shape times classes : NetworkRequest =
    { Sample = shape
      Data = "a test"
      Width = 16
      Depth = 2
      Times = times
      Outputs = 1
      Classes = classes
      Role = NetworkRole.Field
      Tokens = None }

/// A file's answer to inputs by name: float32, float64 or int64 arrays with their sizes.
let private answered (model: byte[]) (inputs: (string * Tensor) list) (output: string) : Tensor =
    use options = new SessionOptions(IntraOpNumThreads = 1, InterOpNumThreads = 1)
    use session = new InferenceSession(model, options)

    let value (x: Tensor) =
        let shape = Array.map int64 x.Shape

        match x.Dtype with
        | Dtype.Float32 -> OrtValue.CreateTensorValueFromMemory<float32>(Tensor.toArray<float32> x, shape)
        | Dtype.Float64 -> OrtValue.CreateTensorValueFromMemory<float>(Tensor.toArray<float> x, shape)
        | _ -> OrtValue.CreateTensorValueFromMemory<int64>(Tensor.toArray<int64> x, shape)

    use run = new RunOptions()
    let given = [ for name, x in inputs -> name, value x ]
    use results = session.Run(run, List.map fst given, List.map snd given, [ output ])
    let result = results[0]
    let shape = result.GetTensorTypeAndShape().Shape |> Array.map int
    Tensor.ofArray shape (result.GetTensorDataAsSpan<float32>().ToArray())

let private noise = NetworkOutput.Prediction(Prediction.noise, None, false)
let private velocity = NetworkOutput.Prediction(Prediction.velocity, None, false)
let private map = NetworkOutput.MeanVelocity(1.0, 0.0, false)

let private models: (string * (unit -> GenerativeModel)) list =
    let image, vector = [ 2; 6; 5 ], [ 3 ]

    [ "mlp", (fun () -> part "mlp" [ "features", 4.0 ] (ask vector 1 None) |> modelOf velocity Path.condOT vector 0)
      "residual-mlp with classes",
      (fun () -> part "residual-mlp" [] (ask vector 1 (Some 3)) |> modelOf velocity Path.condOT vector 3)
      "unet with classes", (fun () -> part "unet" [] (ask image 1 (Some 3)) |> modelOf noise Paths.ddpm image 3)
      "adm-small with classes",
      (fun () ->
          part "adm-small" [ "width", 16.0; "head", 8.0; "multipliers", 12.0; "attention", 2.0 ] (ask image 1 (Some 3))
          |> modelOf noise Paths.ddpm image 3)
      "dit with classes",
      (fun () ->
          part "dit" [ "patch", 2.0; "width", 16.0; "depth", 2.0; "heads", 2.0 ] (ask image 1 (Some 3))
          |> modelOf noise Paths.ddpm image 3)
      "a map of dit",
      (fun () ->
          part "dit" [ "patch", 2.0; "width", 16.0; "depth", 1.0; "heads", 2.0 ] (ask image 2 None)
          |> modelOf map Path.condOT image 0) ]

let private modelNames = List.map fst models
let private guidedNames = modelNames |> List.filter _.EndsWith("with classes")
let private modelNamed name = models |> List.find (fst >> (=) name) |> snd

[<Tests>]
let tests =
    testList
        "Transfers"
        [ testTheory "diffusers' U-Net says here what it says there, and goes back" names
          <| fun name ->
              use folder = new Folder()

              Scope.run0 (fun () ->
                  let json = fixture name
                  let source = folder.File "model"
                  write source json (tensors json)
                  let expected = Tensor.ofArray [ 3; 1; 4; 4 ] (numbers "output" json)
                  let trained = Diffusers.read None None source
                  close 1e-9 expected (said json Kind.Float64 trained) "float64"
                  close 1e-5 expected (said json Kind.Float32 trained) "float32"

                  let away = folder.File "away"
                  Diffusers.write away trained
                  let again = Diffusers.read None None away
                  Expect.equal again.Network.Settings trained.Network.Settings ""
                  Expect.equal again.Path.Name trained.Path.Name ""
                  Expect.isTrue
                      (Tensor.same (said json Kind.Float64 trained) (said json Kind.Float64 again))
                      "the same numbers again")

          testTheory "the chain's ᾱ are the products of its 1 − β, step i at t = (i + 1)/N" names
          <| fun name ->
              use folder = new Folder()

              Scope.run0 (fun () ->
                  let json = fixture name
                  write (folder.File "model") json (tensors json)
                  let path = (Diffusers.read None None (folder.File "model")).Path
                  let scheduler = (field "scheduler" json).AsObject()
                  let number (key: string) = (field key scheduler).GetValue<float>()
                  let n = int (number "num_train_timesteps")
                  let first, last = number "beta_start", number "beta_end"
                  let along k a b = a + (b - a) * float k / float (n - 1)

                  let beta: (int -> float) option =
                      match
                          (field "_class_name" scheduler).GetValue<string>(),
                          (field "beta_schedule" scheduler).GetValue<string>()
                      with
                      | "ScoreSdeVeScheduler", _ -> None
                      | _, "linear" -> Some(fun k -> along k first last)
                      | _, "scaled_linear" -> Some(fun k -> along k (sqrt first) (sqrt last) ** 2.0)
                      | _ ->
                          let bar u = cos ((u + 0.008) / 1.008 * Math.PI / 2.0) ** 2.0
                          Some(fun k -> min 0.999 (1.0 - bar (float (k + 1) / float n) / bar (float k / float n)))

                  match beta with
                  | Some beta ->
                      let products = Array.scan (fun product k -> product * (1.0 - beta k)) 1.0 [| 0 .. n - 1 |]

                      for i in [ 0; 1; n / 3; n - 1 ] do
                          let alpha = Curve.eval path.Alpha (float (i + 1) / float n)
                          Expect.within (1e-9 * (1.0 + products[i + 1])) (alpha * alpha) products[i + 1] $"step {i}"
                  | None ->
                      Expect.within 1e-9 (Curve.eval path.Sigma 0.0) (number "sigma_min") ""
                      Expect.within 1e-9 (Curve.eval path.Sigma 1.0) (number "sigma_max") "")

          testCase "names and shapes that do not fit are listed, and so are settings"
          <| fun () ->
              use folder = new Folder()

              Scope.run0 (fun () ->
                  let json = fixtures.Head
                  let source = folder.File "model"

                  let refused (change: (string * Tensor) list -> (string * Tensor) list) =
                      write source json (change (tensors json))
                      (raised<UserError>(fun () -> Diffusers.read None None source |> ignore)).Message

                  let says (words: string list) (message: string) =
                      for word in words do
                          Expect.stringContains message word ""

                  refused (List.filter (fun (name, _) -> name <> "conv_in.bias"))
                  |> says [ "conv_in.bias [4] is missing" ]

                  refused (
                      List.map (fun (name, x) ->
                          name, (if name = "conv_in.bias" then Tensor.zeros Kind.Float64 [ 5 ] else x))
                  )
                  |> says [ "conv_in.bias is [5] float64, expected [4]" ]

                  refused (fun tensors -> ("ema.decay", Tensor.zeros Kind.Float64 [ 1 ]) :: tensors)
                  |> says [ "no place for ema.decay [1]" ]

                  let changed = json.DeepClone().AsObject()
                  let config = (field "config" changed).AsObject()
                  config["act_fn"] <- JsonValue.Create "gelu"
                  config["time_embedding_type"] <- JsonValue.Create "learned"
                  write source changed (tensors changed)
                  let message = (raised<UserError>(fun () -> Diffusers.read None None source |> ignore)).Message
                  says [ "act_fn"; "gelu"; "time_embedding_type"; "learned" ] message)

          testCase "names that attention had before are known"
          <| fun () ->
              use folder = new Folder()

              Scope.run0 (fun () ->
                  let json = fixtures.Head
                  let source = folder.File "model"

                  let before (name: string) =
                      [ ".to_q.", ".query."; ".to_k.", ".key."; ".to_v.", ".value."; ".to_out.0.", ".proj_attn." ]
                      |> List.fold (fun (name: string) (now, then') -> name.Replace(now, then')) name

                  write source json (tensors json |> List.map (fun (name, x) -> before name, x))
                  let expected = Tensor.ofArray [ 3; 1; 4; 4 ] (numbers "output" json)
                  close 1e-9 expected (said json Kind.Float64 (Diffusers.read None None source)) "")

          testCase "an imported run is sampled, has a likelihood, and goes on to diffusers and ONNX"
          <| fun () ->
              use folder = new Folder()
              let root = folder.File "runs"

              Scope.run0 (fun () ->
                  let json = fixtures.Head
                  write (folder.File "model") json (tensors json)
                  let pixels = Array.init (40 * 16) (fun j -> byte (j * 37 % 256))
                  Npy.write (folder.File "data.npy") (Tensor.ofArray [ 40; 1; 4; 4 ] pixels))

              let runs words = fokker (words @ [ "--runs"; root ])
              let succeeds (outcome: Outcome) = Expect.equal outcome.Code 0 outcome.Error
              let data = "npy:" + folder.File "data.npy"
              succeeds (runs [ "import"; "diffusers:" + folder.File "model"; "--name"; "guest"; "--data"; data ])
              assertRefused
                  (runs [ "import"; "diffusers:" + folder.File "model"; "--name"; "guest" ])
                  [ "guest"; "--overwrite" ]
              succeeds (
                  runs
                      [ "sample"; "guest"; "--solver"; "ddim"; "--steps"; "3"; "-n"; "4"; "--out"; folder.File "s.npy" ]
              )
              Scope.run0 (fun () -> Expect.isTrue ((Npy.read (folder.File "s.npy")).Shape = [| 4; 1; 4; 4 |]) "")
              succeeds (runs [ "likelihood"; "guest"; "-n"; "2"; "--steps"; "4"; "--json" ])
              let target = folder.File "away"
              succeeds (runs [ "export"; "guest"; "--to"; "diffusers:" + target ])
              succeeds (runs [ "import"; "diffusers:" + target; "--name"; "again" ])
              succeeds (
                  runs
                      [ "sample"; "again"; "--solver"; "ddim"; "--steps"; "3"; "-n"; "4"; "--out"; folder.File "t.npy" ]
              )
              Expect.isTrue
                  (File.ReadAllBytes(folder.File "s.npy") = File.ReadAllBytes(folder.File "t.npy"))
                  "the same samples"
              succeeds (
                  runs
                      [ "export"
                        "guest"
                        "--to"
                        "onnx:" + folder.File "guest.onnx"
                        "--solver"
                        "ddim"
                        "--steps"
                        "3" ]
              )
              Expect.isGreaterThan (FileInfo(folder.File "guest.onnx")).Length 10_000L ""
              assertRefused (runs [ "report"; "again" ]) [ "came from elsewhere" ]

          testCase "an imported run is gone on with, and is a teacher whose students begin as it is"
          <| fun () ->
              use folder = new Folder()
              let root = folder.File "runs"

              Scope.run0 (fun () ->
                  // One that says v: what says noise cannot be distilled in rounds.
                  let json = fixtures[1]
                  write (folder.File "model") json (tensors json)
                  let pixels = Array.init (40 * 16) (fun j -> byte (j * 37 % 256))
                  Npy.write (folder.File "data.npy") (Tensor.ofArray [ 40; 1; 4; 4 ] pixels))

              let runs words = fokker (words @ [ "--runs"; root ])
              let succeeds (outcome: Outcome) = Expect.equal outcome.Code 0 outcome.Error
              let data = "npy:" + folder.File "data.npy"
              succeeds (runs [ "import"; "diffusers:" + folder.File "model"; "--name"; "guest"; "--data"; data ])

              let train name rate more =
                  succeeds (
                      runs (
                          [ "train"; data; "--name"; name; "--steps"; "6"; "--batch"; "4"; "--lr"; rate; "--quiet" ]
                          @ more
                      )
                  )

              /// The largest difference of two runs' parameters.
              let apart a b =
                  Scope.run (fun () ->
                      let parameters name = (snd (Runs.networkWith OwnParts.none root None None name)).Parameters

                      // The fixture's are float64, those of a training float32.
                      let wide (x: Tensor) = x.To Dtype.Float64

                      Array.map2 (fun a b -> largest (wide a - wide b)) (parameters a) (parameters b) |> Array.max)

              // Adam's steps are of the rate's size: six of 1e-7, and the rounding of parameters of about 1.
              let more = [ "--from"; "guest"; "--loss"; "v-prediction"; "--path"; "scaled-linear" ]
              train "more" "1e-7" more
              Expect.isLessThan (apart "guest" "more") 2e-6 "it begins at the guest's parameters"
              train "further" "1e-2" more
              Expect.isGreaterThan (apart "guest" "further") 1e-3 "and goes on"
              train "student" "1e-7" [ "--loss"; "progressive:steps=8"; "--teacher"; "guest" ]
              Expect.isLessThan (apart "guest" "student@4") 2e-6 "the first student begins as its teacher"
              let out = folder.File "s.npy"
              succeeds (runs [ "sample"; "student@4"; "-n"; "3"; "--out"; out ])
              Scope.run0 (fun () -> Expect.isTrue ((Npy.read out).Shape = [| 3; 1; 4; 4 |]) "")

          testTheory "the network as ONNX is the network, for any number of samples" modelNames
          <| fun name ->
              Scope.run0 (fun () ->
                  let model = modelNamed name ()
                  let n = 5
                  let x = Rng.normal Kind.Float32 (n :: model.Shape) (Rng.ofSeed 5L)

                  let field, times =
                      match model.Dynamics with
                      | Mapping map -> map.Map, [ n; 2 ]
                      | Denoising score -> score.Network, [ n ]
                      | _ -> failwith "another kind"

                  let t = Rng.uniform Kind.Float64 times (Rng.ofSeed 6L)
                  let label = if model.Labels then Some(Tensor.ofArray [ n ] [| 0L; 2L; -1L; 1L; 0L |]) else None

                  let inputs =
                      [ "x", x
                        "t", t
                        match label with
                        | Some label -> "label", label
                        | None -> () ]

                  close 1e-5 (field label t x) (answered (Transfers.onnx None model) inputs "y") name)

          testTheory "all steps of a sampler as ONNX are its samples" modelNames
          <| fun name ->
              Scope.run0 (fun () ->
                  let model = modelNamed name ()
                  let n = 3
                  let noise = Rng.normal Kind.Float32 (n :: model.Shape) (Rng.ofSeed 5L)

                  let request =
                      { GenerationRequest.standard with
                          Solver = (if name = "a map of dit" then None else Some Samplers.ddim)
                          Steps = Some 3
                          Class = (if model.Labels then Some "1" else None) }

                  let struct (model, drawing) = Validation.generation model request
                  let drawing = { drawing with Unit = Some(noise.To Dtype.Float64) }
                  let expected = GenerativeModel.outside model (Samples.chunk model drawing (Rng.ofSeed 0L) 0 n ignore)
                  let file = Transfers.onnx (Some request) (modelNamed name ())
                  close 1e-5 expected (answered file [ "noise", noise ] "samples") name)

          testTheory "a guided sampler as ONNX is told the class of each sample, or is of one" guidedNames
          <| fun name ->
              Scope.run0 (fun () ->
                  let plain = modelNamed name ()
                  let n = 5
                  let noise = Rng.normal Kind.Float32 (n :: plain.Shape) (Rng.ofSeed 5L)

                  let asked label =
                      { GenerationRequest.standard with
                          Solver = Some Samplers.ddim
                          Steps = Some 2
                          Class = label
                          Guidance = { GuidanceRequest.none with Scale = Some 2.5 } }

                  let expected (label: int) =
                      let struct (model, drawing) = Validation.generation plain (asked (Some(string label)))
                      let drawing = { drawing with Unit = Some(noise.To Dtype.Float64) }
                      GenerativeModel.outside model (Samples.chunk model drawing (Rng.ofSeed 0L) 0 n ignore)

                  let labels = [| 0; 2; 1; 1; 0 |]
                  let own = [ for k in 0..2 -> expected k ]
                  Expect.isGreaterThan (largest (own[1] - own[2])) 1e-3 "classes differ"
                  close
                      1e-5
                      own[1]
                      (answered (Transfers.onnx (Some(asked (Some "1"))) plain) [ "noise", noise ] "samples")
                      "of one"

                  let each = Tensor.cat 0 [ for i, label in Array.indexed labels -> Tensor.narrow 0 i 1 own[label] ]

                  let told = Tensor.ofArray [ n ] [| for label in labels -> int64 label |]
                  let file = Transfers.onnx (Some(asked None)) plain
                  close 1e-5 each (answered file [ "noise", noise; "label", told ] "samples") "each its own")

          testCase "what is no fixed sequence of operators is refused"
          <| fun () ->
              Scope.run0 (fun () ->
                  let model = modelNamed "mlp" ()
                  let says (word: string) request =
                      Expect.stringContains
                          (raised<RefusedException>(fun () -> Transfers.onnx (Some request) model |> ignore)).Message
                          word
                          ""

                  says
                      "draws numbers"
                      { GenerationRequest.standard with Solver = Some(Catalogue.samplers.Find "ancestral") }
                  says "depends on numbers" { GenerationRequest.standard with RelativeTolerance = Some 1e-3 }) ]
