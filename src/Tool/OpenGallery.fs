namespace Fokker.Tool

open System
open System.IO
open Argu
open Fokker

type GalleryArgument =
    | [<Unique>] Port of port: int
    | [<Unique>] Runs of folder: string
    | [<Unique>] Queue of requests: int
    | [<Unique>] Json

    interface IArgParserTemplate with
        member argument.Usage =
            match argument with
            | Port _ -> "the port on 127.0.0.1 (7860); 0 takes a free one"
            | Runs _ -> "the folder that runs are kept in (runs)"
            | Queue _ -> "requests that may wait for a model; one more is told to come back later (16)"
            | Json -> "print the address as one JSON object on standard output"

/// `fokker gallery`: the models of a folder in a browser, until Ctrl-C.
module OpenGallery =

    let private run (terminal: Terminal) (arguments: GalleryArgument list) =
        let usual = Fokker.Gallery.GalleryOptions()
        let pick choose usual = arguments |> List.tryPick choose |> Option.defaultValue usual

        let port =
            usual.Port
            |> pick (function
                | Port port -> Some port
                | _ -> None)

        let queue =
            usual.Queue
            |> pick (function
                | Queue n -> Some n
                | _ -> None)

        let folder =
            usual.Folder
            |> pick (function
                | Runs folder -> Some folder
                | _ -> None)

        if port < 0 || port > 65535 then
            raise (UserError $"--port {port}: expected a port from 1 to 65535, or 0 for a free one")

        if queue < 0 then
            raise (UserError $"--queue {queue}: expected a number of at least 0")

        if not (Directory.Exists folder) then
            raise (UserError $"--runs {folder}: there is no such folder; a run makes it: ./fokker train moons")

        let options = Fokker.Gallery.GalleryOptions(Port = port, Queue = queue, Folder = folder)

        let started (address: Uri) =
            Terminal.tell terminal $"The gallery is at {address}; Ctrl-C ends it."
            Terminal.give terminal (Json.object [ "address", Json.text (string address) ])

        try
            Fokker.Gallery.GalleryServer.Run(options, started)
        with :? FokkerException as error ->
            raise (UserError error.Message)

        Exit.Success

    let command =
        Command.make<GalleryArgument>
            "gallery"
            "shows models in a browser: samples as they are made, solvers side by side, inpainting, latents, densities"
            [ "./fokker gallery", "the models of runs/, at http://127.0.0.1:7860"
              "./fokker gallery --port 0 --runs experiments/runs", "those of another folder, at a free port" ]
            run
