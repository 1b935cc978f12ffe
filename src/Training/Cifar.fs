namespace Fokker

open System.IO

/// CIFAR-10's binary files (Krizhevsky 2009): records of one byte for the class and 3 × 32 × 32 bytes of red, green and blue.
[<RequireQualifiedAccess>]
module Cifar =

    let private side = 32
    let private record = 1 + 3 * side * side

    let private classes = [ "airplane"; "automobile"; "bird"; "cat"; "deer"; "dog"; "frog"; "horse"; "ship"; "truck" ]

    let private mostBytes = int64 record * 100_000L

    let private table (file: string) : Table =
        let bytes = Disk.readBytes mostBytes file

        if bytes.Length = 0 || bytes.Length % record <> 0 then
            raise (
                UserError
                    $"{file}: it holds {bytes.Length} bytes: expected records of {record}, one of the class and {record - 1} of a picture; fetch it again"
            )

        let whole = Tensor.ofArray [ bytes.Length / record; record ] bytes
        let labels = (Tensor.narrow 1 0 1 whole |> Tensor.reshape [ -1 ]).To Dtype.Int64
        let most = (Tensor.max labels).ToInt64()

        if most >= int64 classes.Length then
            raise (UserError $"{file}: one of its labels is {most}: CIFAR-10 has the classes 0 to 9; fetch it again")

        Table.ofRows (Tensor.narrow 1 1 (record - 1) whole |> Tensor.reshape [ -1; 3; side; side ]) (Some labels)

    let private joined (tables: Table list) : Table =
        Table.ofRows
            (tables |> List.map _.Rows |> Tensor.cat 0)
            (Some(tables |> List.map (_.Labels >> Option.get) |> Tensor.cat 0))

    /// The pictures of a folder: `data_batch_1.bin` and its kin to train on, `test_batch.bin` held out. `name` is the data set's. Raises UserError where a file is
    /// missing or damaged.
    let load (name: string) (folder: string) : Dataset =
        let training =
            if Directory.Exists folder then
                Directory.GetFiles(folder, "data_batch_*.bin") |> Array.sort |> List.ofArray
            else
                []

        if training.IsEmpty then
            raise (
                UserError
                    $"{folder}: there is no data_batch_1.bin: expected the folder of CIFAR-10's binary version, cifar-10-batches-bin"
            )

        Scope.run (fun () ->
            let train = training |> List.map table |> joined
            let heldOut = table (Path.Combine(folder, "test_batch.bin"))

            { Name = name
              Summary = "photographs in ten classes, 32 × 32"
              Reference = "Krizhevsky 2009"
              Shape = [ 3; side; side ]
              Classes = classes
              Units = { Shift = [| 127.5 |]; Scale = [| 127.5 |] }
              Range = Some(0.0, 255.0)
              Columns = []
              Notes = []
              Augmentation = Augmentation.None
              Given = None
              Content = Finite(train, heldOut) })
