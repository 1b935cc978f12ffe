namespace Fokker.Tool

open System
open System.Runtime.InteropServices
open Argu
open Fokker

type DoctorArgument =
    | [<Unique>] Json
    | [<Unique>] Selftest

    interface IArgParserTemplate with
        member argument.Usage =
            match argument with
            | Json -> "print one JSON object on standard output"
            | Selftest -> "hold what Fokker asks of libtorch against .NET's own arithmetic, and print the table"

/// `fokker doctor`: what the machine brings, and what would make it faster.
module Doctor =

    let private gibibytes (bytes: int64 option) =
        match bytes with
        | Some bytes -> $"%.1f{float bytes / float (1L <<< 30)} GiB"
        | None -> "unknown"

    let private run (terminal: Terminal) (arguments: DoctorArgument list) =
        let version = Torch.version ()
        let gigaflops = Diagnosis.gigaflops ()
        let blas = Diagnosis.blas ()
        let cuda = Torch.cudaDevices ()
        let faults = Diagnosis.faults ()
        let row (label: string) (value: string) = Terminal.tell terminal $"{label, -16}{value}"
        let devices = "cpu" :: [ for index in 0 .. cuda - 1 -> $"cuda:{index}" ]
        row "fokker" Run.version
        row ".NET" (RuntimeInformation.FrameworkDescription.Replace(".NET ", ""))
        row "engine" (Torch.engine ())
        row "libtorch" version
        row
            "BLAS"
            (blas
             |> Option.map _.Path
             |> Option.orElse (Diagnosis.builtIn ())
             |> Option.defaultValue "not found among this process's libraries")
        Diagnosis.core () |> Option.iter (row "BLAS kernels")
        row "matmul 1024³" $"%.0f{gigaflops} GFLOP/s (float32)"
        row "processor" $"{Diagnosis.processor ()}, {Environment.ProcessorCount} logical"
        row "capability" (Torch.cpuCapability ())
        row "threads" $"{Torch.threads ()} inside an operator"
        row "devices" (String.Join(", ", devices))
        row "memory" $"{gibibytes (Diagnosis.memoryAvailable ())} free of {gibibytes (Diagnosis.memoryTotal ())}"

        for fault in faults do
            Terminal.warn terminal fault

        if faults.IsEmpty then
            Terminal.tell terminal "Nothing to put right."

        let checks = if List.contains Selftest arguments then SelfTest.run () else []

        for name, found, isRight in checks do
            let word = if isRight then "ok" else "WRONG"

            match found with
            | Ok error -> Terminal.tell terminal $"  {word, -6}{name, -36}{error:E1}"
            | Error said -> Terminal.tell terminal $"  {word, -6}{name, -36}{said}"

        let right = checks |> List.filter (fun (_, _, isRight) -> isRight) |> List.length

        if not checks.IsEmpty then
            Terminal.tell
                terminal
                $"{right} of {checks.Length} are as they should be, on {RuntimeInformation.OSDescription}."

        Terminal.give
            terminal
            (Json.object
                [ "fokker", Json.text Run.version
                  "engine", Json.text (Torch.engine ())
                  "libtorch", Json.text version
                  "blas", Json.optional (fun (b: Blas) -> Json.text b.Path) blas
                  "blasKernels", Json.optional Json.text (Diagnosis.core ())
                  "referenceBlas", Json.flag (blas |> Option.exists _.IsReference)
                  "faults", Json.array (List.map Json.text faults)
                  "gigaflops", Json.number gigaflops
                  "processor", Json.text (Diagnosis.processor ())
                  "processors", Json.whole (int64 Environment.ProcessorCount)
                  "cpuCapability", Json.text (Torch.cpuCapability ())
                  "threads", Json.whole (int64 (Torch.threads ()))
                  "devices", devices |> Seq.map Json.text |> Json.array
                  "memoryBytes", Json.optional Json.whole (Diagnosis.memoryTotal ())
                  "memoryAvailableBytes", Json.optional Json.whole (Diagnosis.memoryAvailable ())
                  if not checks.IsEmpty then
                      "selftest",
                      Json.array
                          [ for name, found, isRight in checks ->
                                Json.object
                                    [ "name", Json.text name
                                      "right", Json.flag isRight
                                      match found with
                                      | Ok error -> "error", Json.number error
                                      | Error said -> "said", Json.text said ] ] ])

        if right = checks.Length then Exit.Success else Exit.Fault

    let command =
        Command.make<DoctorArgument>
            "doctor"
            "says which libtorch, BLAS, threads, devices and memory are in force, and what is wrong with them"
            [ "./fokker doctor", "libtorch's version, the BLAS in force and how fast it is"
              "./fokker doctor --selftest", "whether libtorch does what is asked of it here" ]
            run
