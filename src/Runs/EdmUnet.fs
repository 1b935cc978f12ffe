namespace Fokker

open System
open System.Text.RegularExpressions

/// Files of EDM's version of the U-Net of ADM (Karras et al. 2022; DhariwalUNet in their code): the tensors of its state, as safetensors. They are those of an `Adm` behind the preconditioning `edm`, under other
/// names and with attention's three matrices in one. All that makes the architecture is in the names and shapes but the channels of a head and σ_data, which are 64 and ½ in theirs.
[<RequireQualifiedAccess>]
module EdmUnet =

    /// The tensors of a residual block, there and here.
    let private inResidual =
        [ "norm0", "norm1"
          "conv0", "conv1"
          "affine", "time_emb_proj"
          "norm1", "norm2"
          "conv1", "conv2"
          "skip", "conv_shortcut" ]

    /// The tensors of the attention that follows in it, but for the three matrices.
    let private inAttention = [ "norm2", "group_norm"; "proj", "to_out.0" ]

    /// Rows of the three matrices in one: of each head's channels one after the other, q, k and v of each.
    let private queriesKeysValues (heads: int) (x: Tensor) : (string * Tensor) list =
        let channels = x.Shape[0] / 3
        let byHead = Tensor.reshape [ heads; channels / heads; 3; -1 ] x

        [ for k, name in List.indexed [ "to_q"; "to_k"; "to_v" ] ->
              let own = Tensor.narrow 2 k 1 byHead
              name, Tensor.reshape (channels :: (if x.Rank = 1 then [] else [ -1 ])) own ]

    /// A convolution of one pixel, as the matrix that it is.
    let private matrix (x: Tensor) : Tensor = if x.Rank = 4 then Tensor.reshape [ x.Shape[0]; -1 ] x else x

    /// A file of `text` (`FILE` or `FILE,head=32,sigma-data=0.6`) as a trained network on the path `edm`, whose pixels are bytes. Raises UserError where the file is missing or damaged, with all names and shapes in it that have no counterpart here.
    let read (side: int option) (data: string option) (text: string) : TrainedNetwork =
        let said = FileSettings.parse "edm" [ "head"; "sigma-data" ] text
        let file = said.File
        let head = said |> FileSettings.whole "head" 1 |> Option.defaultValue 64
        let sigmaData = said |> FileSettings.positive "sigma-data" |> Option.defaultValue 0.5

        Scope.run (fun () ->
            let all = (Safetensors.read file).Tensors |> Map.toList

            // The network alone, or inside what its preconditioning is there.
            let held =
                if all |> List.forall (fun (name, _) -> name.StartsWith("model.", StringComparison.Ordinal)) then
                    all |> List.map (fun (name, x) -> name.Substring 6, x) |> Map.ofList
                else
                    Map.ofList all

            let state = { File = file; Layout = "EDM's version of ADM's U-Net"; Tensors = held }
            let problems = ResizeArray<string>()
            let has name = StateFile.has name state
            let shape least name = StateFile.shape least name state

            if has "map_layer0.weight" && held |> Map.exists (fun name _ -> name.Contains "_aux_norm.") then
                raise (
                    UserError
                        $"{file}: it is a DDPM++ or NCSN++ (SongUNet), whose blocks are scaled by √½ and told the class elsewhere: the U-Net of ADM (DhariwalUNet) alone has a counterpart here"
                )

            let entry = Regex @"^enc\.([1-9]\d{0,5})x\1_conv\.weight$"

            let finest =
                held
                |> Map.toList
                |> List.tryPick (fun (name, _) ->
                    let found = entry.Match name
                    if found.Success then Some(int found.Groups[1].Value) else None)
                |> Option.defaultWith (fun () ->
                    raise (UserError $"{file}: it has no enc.NxN_conv.weight: EDM's version of ADM's U-Net has it"))

            match side with
            | Some side when side <> finest ->
                refuse Setting.Size side $"{file} is of images of {finest} pixels a side"
            | _ -> ()

            let at (side: int) (coder: string) (what: string) = $"{coder}.{side}x{side}_{what}"

            let sides =
                finest
                |> List.unfold (fun side ->
                    if side = finest || side > 0 && has (at side "enc" "down.conv0.weight") then
                        Some(side, side / 2)
                    else
                        None)

            let blocks =
                Seq.initInfinite id |> Seq.find (fun k -> not (has (at finest "enc" $"block{k}.conv0.weight")))
            let attends side coder = has (at side coder "block0.qkv.weight")
            let input, output = shape 2 (at finest "enc" "conv.weight"), shape 1 "out_conv.weight"

            if input[1] <> output[0] then
                problems.Add $"it takes {input[1]} channels and says {output[0]}: expected as many"

            let adm: Adm =
                { Channels = input[1]
                  Scales =
                    [ for side in sides ->
                          { Channels = (shape 1 (at side "enc" "block0.conv1.weight"))[0]
                            AttendsDown = attends side "enc"
                            AttendsUp = attends side "dec"
                            Halving = Resampling.Block
                            Doubling = Resampling.Block } ]
                  Blocks = blocks
                  MiddleAttention = true
                  MiddleGroups = Some 32
                  HeadChannels = Some head
                  Groups = 32
                  GroupChannels = 4
                  Epsilon = 1e-5
                  ScaleShift = true
                  Padding = 1
                  Dropout = 0.0
                  Features = StepFeatures.Powers
                  Clock = StepClock.Same
                  Times = 1
                  Outputs = 1
                  Classes = if has "map_label.weight" then shape 2 "map_label.weight" |> Array.item 1 |> Some else None }

            /// The places of residual blocks: there, and here with the place of the attention that follows where one may.
            let residuals =
                let coarsest = List.last sides

                [ yield at coarsest "dec" "in0", ("mid_block.resnets.0", "mid_block.attentions.0")
                  yield at coarsest "dec" "in1", ("mid_block.resnets.1", "")

                  for level, side in List.indexed sides do
                      let up = sides.Length - 1 - level

                      if level > 0 then
                          yield at side "enc" "down", ($"down_blocks.{level - 1}.downsamplers.0", "")
                          yield at sides[level - 1] "dec" "up", ($"up_blocks.{up}.upsamplers.0", "")

                      for k in 0 .. blocks - 1 do
                          let here = $"down_blocks.{level}"
                          yield at side "enc" $"block{k}", ($"{here}.resnets.{k}", $"{here}.attentions.{k}")

                      for k in 0..blocks do
                          let here = $"up_blocks.{up}"
                          yield at side "dec" $"block{k}", ($"{here}.resnets.{k}", $"{here}.attentions.{k}") ]
                |> Map.ofList

            let outside =
                [ "map_layer0", "time_embedding.linear_1"
                  "map_layer1", "time_embedding.linear_2"
                  at finest "enc" "conv", "conv_in"
                  "out_norm", "conv_norm_out"
                  "out_conv", "conv_out" ]
                |> Map.ofList

            /// The filter of a resampling is a mean of 2 × 2 pixels, or none that is known here.
            let isMean (x: Tensor) =
                List.ofArray x.Shape = [ 1; 1; 2; 2 ] && (Tensor.max (Tensor.abs (x - 0.25))).ToFloat() = 0.0

            /// A tensor under its names here; none where its name has no counterpart.
            let renamed (name: string) (x: Tensor) : (string * Tensor) list option =
                let words = name.Split '.' |> List.ofArray
                let kind = List.last words

                match words with
                | [ "map_label"; "weight" ] when x.Rank = 2 ->
                    Some [ "class_embedding.weight", Tensor.contiguous (Tensor.transpose 0 1 x) ]
                // What it says of an augmentation is not heard where there is none.
                | "map_augment" :: _ -> Some []
                | _ when kind = "resample_filter" -> if isMean x then Some [] else None
                | [ coder; block; inside; _ ] ->
                    Map.tryFind $"{coder}.{block}" residuals
                    |> Option.bind (fun (residual, attention) ->
                        let channels = x.Shape[0] / 3
                        let heads = max 1 (channels / head)

                        match List.tryFind (fst >> (=) inside) inResidual with
                        | Some(_, own) -> Some [ $"{residual}.{own}.{kind}", x ]
                        | None when attention = "" -> None
                        | None when inside = "qkv" && x.Shape[0] = 3 * channels && channels % heads = 0 ->
                            Some
                                [ for own, part in queriesKeysValues heads (matrix x) ->
                                      $"{attention}.{own}.{kind}", part ]
                        | None ->
                            List.tryFind (fst >> (=) inside) inAttention
                            |> Option.map (fun (_, own) -> [ $"{attention}.{own}.{kind}", matrix x ]))
                | _ ->
                    let place = words |> List.truncate (words.Length - 1) |> String.concat "."
                    Map.tryFind place outside |> Option.map (fun own -> [ $"{own}.{kind}", x ])

            let path = Paths.find [] "edm"
            let preconditioning = Preconditioning.find (FormattableString.Invariant $"edm:sigma-data={sigmaData}") path

            { StateFile.trained adm renamed problems path Prediction.data finest data "edm" state with
                Output = NetworkOutput.Prediction(Prediction.data, Some preconditioning, false) })
