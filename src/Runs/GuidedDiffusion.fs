namespace Fokker

open System
open System.Text.RegularExpressions

/// Files of the U-Net of guided-diffusion and improved-diffusion (Nichol, Dhariwal 2021; Dhariwal, Nichol 2021, ADM): the tensors of its state, as safetensors. They are those of an `Adm` under other names, attention's three
/// matrices in one. The architecture is read off the names and shapes; what they do not say is said beside the file's name.
[<RequireQualifiedAccess>]
module GuidedDiffusion =

    /// What a list of modules, `input_blocks` for instance, has at a place: the modules there, each with the names of its tensors.
    let private modulesOf (names: string list) (list: string) : Map<int, Set<int>> =
        let pattern = Regex($@"^{list}\.(\d+)\.(\d+)\.")

        names
        |> List.choose (fun name ->
            let found = pattern.Match name
            if found.Success then Some(int found.Groups[1].Value, int found.Groups[2].Value) else None)
        |> List.groupBy fst
        |> List.map (fun (place, modules) -> place, modules |> List.map snd |> Set.ofList)
        |> Map.ofList

    /// A residual block's tensors, and attention's but for the three matrices, here and there.
    let private inResidual =
        [ "in_layers.0", "norm1"
          "in_layers.2", "conv1"
          "emb_layers.1", "time_emb_proj"
          "out_layers.0", "norm2"
          "out_layers.3", "conv2"
          "skip_connection", "conv_shortcut" ]

    let private inAttention = [ "norm", "group_norm"; "proj_out", "to_out.0" ]

    /// Rows of the three matrices in one, head by head (q, k, v of the first, then of the second) or one after the other.
    let private queriesKeysValues (isNew: bool) (heads: int) (x: Tensor) : Tensor list =
        let channels = x.Shape[0] / 3
        let rest = List.ofArray x.Shape[1..]

        if isNew then
            [ for k in 0..2 -> Tensor.narrow 0 (k * channels) channels x ]
        else
            let byHead = Tensor.reshape (heads :: 3 :: channels / heads :: rest) x
            [ for k in 0..2 -> Tensor.narrow 1 k 1 byHead |> Tensor.reshape (channels :: rest) ]

    /// A file of `text` (`FILE,head=64`) as a trained network, whose pixels are bytes. Raises UserError where the file is missing or damaged, with all names and shapes in it that have no counterpart here.
    let read (side: int option) (data: string option) (text: string) : TrainedNetwork =
        let said = FileSettings.parse "adm" [ "head"; "order"; "schedule"; "steps"; "says" ] text
        let file = said.File
        let isNew = said |> FileSettings.choice "order" false [ "legacy", false; "new", true ]
        let steps = said |> FileSettings.whole "steps" 2 |> Option.defaultValue 1000

        let path =
            said
            |> FileSettings.choice "schedule" "ddpm" [ "linear", "ddpm"; "cosine", "ddpm-cosine" ]
            |> fun name -> Paths.find [] $"{name}:steps={steps}"

        let prediction =
            said
            |> FileSettings.choice "says" Prediction.noise [ "noise", Prediction.noise; "data", Prediction.data ]

        let side =
            match side with
            | Some side -> side
            | None -> refuseWith Setting.Size "" $"{file}: it does not say the size of its samples" $"say it"

        Scope.run (fun () ->
            let held = (Safetensors.read file).Tensors
            let names = held |> Map.toList |> List.map fst
            let problems = ResizeArray<string>()

            let state = { File = file; Layout = "a U-Net of guided-diffusion"; Tensors = held }
            let has name = StateFile.has name state
            let shape least name = StateFile.shape least name state
            let entry, out = shape 2 "input_blocks.0.0.weight", shape 1 "out.2.weight"
            let below, above = modulesOf names "input_blocks", modulesOf names "output_blocks"

            /// What leads to a finer scale is the last module at its place, and neither the first nor attention.
            let upsampler (place: int) =
                Map.tryFind place above
                |> Option.bind (fun modules ->
                    let last = Set.maxElement modules
                    if last > 0 && not (has $"output_blocks.{place}.{last}.qkv.weight") then Some last else None)

            let levels =
                1 + (above |> Map.toList |> List.filter (fun (place, _) -> (upsampler place).IsSome) |> List.length)

            if below.Count <> above.Count || below.Count % levels <> 0 || below.Count = 0 then
                raise (
                    UserError
                        $"{file}: it has {below.Count} input blocks and {above.Count} output blocks, {levels - 1} of which lead to a finer scale: expected as many of both, the same number for each scale"
                )

            let blocks = below.Count / levels - 1
            let width level = (shape 1 $"input_blocks.{1 + level * (blocks + 1)}.0.out_layers.3.weight")[0]
            let isAttention list place = has $"{list}.{place}.1.qkv.weight"

            let scales =
                [ for level in 0 .. levels - 1 ->
                      let down, up = 1 + level * (blocks + 1), (levels - 1 - level) * (blocks + 1)
                      let by isThere isBlock = if isThere && isBlock then Resampling.Block else Resampling.Convolution

                      { Channels = width level
                        AttendsDown = isAttention "input_blocks" down
                        AttendsUp = isAttention "output_blocks" up
                        Halving = by (level < levels - 1) (has $"input_blocks.{down + blocks}.0.in_layers.0.weight")
                        Doubling =
                          match upsampler (up + blocks) with
                          | Some k -> by true (has $"output_blocks.{up + blocks}.{k}.in_layers.0.weight")
                          | None -> Resampling.Convolution } ]

            let attends = names |> List.exists (fun name -> name.EndsWith(".qkv.weight", StringComparison.Ordinal))

            let headChannels =
                match said.Of "head" with
                | Some "all" -> None
                | Some _ -> FileSettings.whole "head" 1 said
                | None when not attends -> None
                | None ->
                    raise (
                        UserError
                            $"{file}: it does not say how many channels a head of attention has: say it (adm:{file},head=64, which ADM has), or head=all where there is one head"
                    )

            let channels = entry[1]

            if out[0] % channels <> 0 || out[0] / channels > 2 then
                raise (
                    UserError
                        $"{file}: it takes {channels} channels and says {out[0]}: expected as many, or twice as many where the variance is learned"
                )

            let scaled = (shape 1 "input_blocks.1.0.emb_layers.1.weight")[0] = 2 * scales.Head.Channels

            let adm: Adm =
                { Channels = channels
                  Scales = scales
                  Blocks = blocks
                  MiddleAttention = has "middle_block.1.qkv.weight"
                  MiddleGroups = Some 32
                  HeadChannels = headChannels
                  Groups = 32
                  GroupChannels = 1
                  Epsilon = 1e-5
                  ScaleShift = scaled
                  Padding = 1
                  Dropout = 0.0
                  Features = StepFeatures.Sinusoids(true, 0.0, true)
                  Clock = StepClock.Steps steps
                  Times = 1
                  Outputs = out[0] / channels
                  Classes = if has "label_emb.weight" then shape 1 "label_emb.weight" |> Array.item 0 |> Some else None }

            /// The modules here, in the place of those there, with the names of what is inside.
            let modules =
                [ yield "time_embed.0", "time_embedding.linear_1", []
                  yield "time_embed.2", "time_embedding.linear_2", []
                  yield "label_emb", "class_embedding", []
                  yield "input_blocks.0.0", "conv_in", []
                  yield "out.0", "conv_norm_out", []
                  yield "out.2", "conv_out", []
                  yield "middle_block.0", "mid_block.resnets.0", inResidual
                  yield "middle_block.1", "mid_block.attentions.0", inAttention
                  yield "middle_block.2", "mid_block.resnets.1", inResidual

                  for level in 0 .. levels - 1 do
                      for k in 0 .. blocks - 1 do
                          let place = 1 + level * (blocks + 1) + k
                          yield $"input_blocks.{place}.0", $"down_blocks.{level}.resnets.{k}", inResidual
                          yield $"input_blocks.{place}.1", $"down_blocks.{level}.attentions.{k}", inAttention

                      let last = 1 + level * (blocks + 1) + blocks
                      yield
                          $"input_blocks.{last}.0", $"down_blocks.{level}.downsamplers.0", ("op", "conv") :: inResidual

                      for k in 0..blocks do
                          let place = level * (blocks + 1) + k
                          yield $"output_blocks.{place}.0", $"up_blocks.{level}.resnets.{k}", inResidual

                          match upsampler place with
                          | Some last ->
                              yield
                                  $"output_blocks.{place}.{last}",
                                  $"up_blocks.{level}.upsamplers.0",
                                  ("conv", "conv") :: inResidual
                          | None -> ()

                          if isAttention "output_blocks" place then
                              yield $"output_blocks.{place}.1", $"up_blocks.{level}.attentions.{k}", inAttention ]

            /// A tensor under its names here; none where its name has no counterpart.
            let renamed (name: string) (x: Tensor) : (string * Tensor) list option =
                modules
                |> List.tryPick (fun (theirs, ours, inside) ->
                    if not (name.StartsWith(theirs + ".", StringComparison.Ordinal)) then
                        None
                    else
                        let rest = name.Substring(theirs.Length + 1)
                        let kind = rest.Substring(rest.LastIndexOf '.' + 1)

                        if obj.ReferenceEquals(inside, inAttention) && (rest = "qkv.weight" || rest = "qkv.bias") then
                            let heads =
                                headChannels
                                |> Option.map (fun head -> max 1 (x.Shape[0] / 3 / head))
                                |> Option.defaultValue 1

                            if x.Shape[0] % (3 * heads) <> 0 then
                                None
                            else
                                Some
                                    [ for to', own in
                                          List.zip [ "to_q"; "to_k"; "to_v" ] (queriesKeysValues isNew heads x) ->
                                          // Convolutions of one pixel, along what was unfolded to a line.
                                          let own =
                                              if own.Rank = 3 then Tensor.reshape [ own.Shape[0]; -1 ] own else own
                                          $"{ours}.{to'}.{kind}", own ]
                        elif inside.IsEmpty then
                            Some [ $"{ours}.{rest}", x ]
                        else
                            inside
                            |> List.tryPick (fun (theirs, own) ->
                                if rest = $"{theirs}.{kind}" then
                                    let x =
                                        if obj.ReferenceEquals(inside, inAttention) && x.Rank = 3 then
                                            Tensor.reshape [ x.Shape[0]; -1 ] x
                                        else
                                            x

                                    Some [ $"{ours}.{own}.{kind}", x ]
                                else
                                    None))

            StateFile.trained adm renamed problems path prediction side data "adm" state)
