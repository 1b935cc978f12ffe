/// C#'s catalogue of parts, written from the library's own descriptions: `./build.sh Catalogue` writes Parts/Catalogue.g.cs, and a test holds the two together.
module Fokker.CSharpCatalogue

open System
open System.Globalization

/// What a word of a name is in C#, where it is more than the word with a capital.
let private words =
    Map
        [ "condot", "CondOt"
          "ou", "OrnsteinUhlenbeck"
          "vp", "VariancePreserving"
          "ve", "VarianceExploding"
          "ot", "OptimalTransport"
          "iddpm", "ImprovedDdpm"
          "rk4", "RungeKutta4"
          "dpm", "DpmSolver"
          "dpmpp", "DpmPlusPlus"
          "lms", "LinearMultistep"
          "exp", "Exponential"
          "ab2", "AdamsBashforth2"
          "ab3", "AdamsBashforth3"
          "unipc", "UniPc"
          "vlb", "VariationalBound"
          "meanflow", "MeanFlow"
          "mmps", "MomentMatching"
          "pigdm", "PseudoinverseGuidance"
          "dps", "DiffusionPosteriorSampling"
          "diffpir", "DiffPir"
          "repaint", "RePaint"
          "tds", "TwistedDiffusion"
          "hmc", "HamiltonianMonteCarlo"
          "mala", "AdjustedLangevin"
          "fk", "FeynmanKac" ]

/// Losses whose names are abbreviations.
let private abbreviations =
    Map
        [ "cfm", "ConditionalFlowMatching"
          "dsm", "DenoisingScoreMatching"
          "ism", "ImplicitScoreMatching"
          "ssm", "SlicedScoreMatching"
          "esm", "ExplicitScoreMatching"
          "fm", "FlowMatching"
          "i-cfm", "IndependentFlowMatching"
          "ot-cfm", "OptimalTransportFlowMatching"
          "sb-cfm", "SchrodingerBridgeFlowMatching"
          "sf2m", "ScoreAndFlowMatching"
          "cnf", "ContinuousNormalizingFlow"
          "mle", "MaximumLikelihood"
          "vae", "VariationalAutoencoder"
          "dfm", "DiscreteFlowMatching"
          "dfm-kl", "DiscreteFlowMatchingByBound"
          "dfm-uniform", "UniformDiscreteFlowMatching"
          "dfm-uniform-kl", "UniformDiscreteFlowMatchingByBound"
          "jump", "GeneratorMatching"
          "ct", "ConsistencyTraining"
          "ict", "ImprovedConsistencyTraining"
          "cd", "ConsistencyDistillation"
          "lmd", "LagrangianMapDistillation"
          "emd", "EulerianMapDistillation"
          "lsd", "LagrangianSelfDistillation"
          "psd", "ProgressiveSelfDistillation"
          "ect", "EasyConsistencyTuning"
          "scm", "ContinuousTimeConsistency"
          "f2d2", "FlowMapWithLogDeterminant"
          "progressive", "ProgressiveDistillation"
          "reward", "RewardTuning"
          "guided", "GuidedDistillation"
          "gan", "GenerativeAdversarialNetwork"
          "dmd", "DistributionMatchingDistillation"
          "energy-dsm", "EnergyScoreMatching"
          "contrastive", "ContrastiveDivergence"
          "persistent", "PersistentContrastiveDivergence"
          "equilibrium", "EquilibriumMatching" ]

let private capital (word: string) =
    // A letter after a number counts as a word: 2m is 2M.
    if Char.IsDigit word[0] then
        word.ToUpperInvariant()
    else
        word.Substring(0, 1).ToUpperInvariant() + word.Substring 1

let private identifier (name: string) : string =
    match abbreviations.TryFind name with
    | Some known -> known
    | None ->
        name.Split '-'
        |> Array.map (fun w -> words.TryFind w |> Option.defaultWith (fun () -> capital w))
        |> String.concat ""

let private argument (name: string) : string =
    let pascal = name.Split '-' |> Array.map capital |> String.concat ""
    pascal.Substring(0, 1).ToLowerInvariant() + pascal.Substring 1

/// A sentence's first letter as a capital, unless it is a symbol of the equation: `γ, the ratio`, `s, the data's`.
let private sentence (text: string) =
    if Char.IsAscii text[0] && not (text.Length > 1 && text[1] = ',') then capital text else text

let private xml (text: string) = text.Replace("&", "&amp;").Replace("<", "&lt;").Replace(">", "&gt;")

let private summary (part: Part<unit>) =
    let reference = if part.Reference = "" then "" else $" ({part.Reference})"
    let words = if part.Summary = "" then "" else $"{xml part.Summary} "
    $"    /// <summary>{words}<c>{part.Name}</c>: {xml part.Equation}{xml reference}.</summary>"

let private isWhole (p: Parameter) =
    match p.Allowed with
    | Allowed.Whole _ -> true
    | _ -> false

/// A property, or a method where the part leaves numbers open.
let private element (kind: string) (maker: string) (part: Part<unit>) : string list =
    [ yield summary part

      for p in part.Parameters do
          yield $"    /// <param name=\"{argument p.Name}\">{xml (sentence p.Meaning)}: {p.Allowed}.</param>"

      match part.Parameters with
      | [] -> yield $"    public static {kind} {identifier part.Name} {{ get; }} = {kind}.{maker}(\"{part.Name}\");"
      | parameters ->
          let declared =
              [ for p in parameters ->
                    let number = p.Default.ToString("R", CultureInfo.InvariantCulture)
                    let typed = if isWhole p then "int" else "double"
                    $"{typed} {argument p.Name} = {number}" ]

          let given = [ for p in parameters -> $"(\"{p.Name}\", nameof({argument p.Name}), {argument p.Name})" ]
          yield $"""    public static {kind} {identifier part.Name}({String.Join(", ", declared)}) =>"""
          yield $"""        {kind}.Of("{part.Name}", [{String.Join(", ", given)}]);"""

      yield "" ]

/// The static class of a list.
let private listOf
    (kind: string)
    (name: string)
    (meaning: string)
    (remarks: string)
    maker
    (parts: Part<unit> list)
    : string list =
    [ $"/// <summary>{meaning}</summary>"
      $"/// <remarks>{remarks}</remarks>"
      $"public static class {name}"
      "{"
      yield! List.collect (element kind maker) parts
      "    /// <summary>All of them, with their numbers at the defaults.</summary>"
      $"    public static IReadOnlyList<{kind}> All {{ get; }} ="
      "    ["
      for part in parts do
          $"""        {identifier part.Name}{if part.Parameters.IsEmpty then "" else "()"},"""
      "    ];"
      "}"
      "" ]

/// The members that the class of a kind of part has in common with the others.
let private members (kind: string) (list: string) : string list =
    [ "    /// <inheritdoc />"
      $"    public static {kind} FromName(string name) => Find(Catalogue.{list}, name, part => new {kind}(part));"
      ""
      $"    internal static {kind} Of(string name, params (string Key, string Argument, double Value)[] numbers) =>"
      $"        Make(Catalogue.{list}, name, numbers, part => new {kind}(part));" ]

let private kind
    (list: PartList<unit>)
    (kind: string)
    (several: string)
    (isPartial: bool)
    (meaning: string)
    : string list =
    [ if not isPartial then
          $"/// <summary>{meaning}</summary>"
          $"/// <remarks>See <see cref=\"{several}\"/> for those there are.</remarks>"

      $"""public sealed{if isPartial then " partial" else ""} class {kind} : NamedPart, INamed<{kind}>"""
      "{"
      if not isPartial then
          $"    private {kind}(PartName part)"
          $"        : base(Catalogue.{list.Name}.Described, part) {{ }}"
          ""
      yield! members kind list.Name
      "}"
      ""
      yield!
          listOf
              kind
              several
              meaning
              $"The {list.Many} that the library knows, those that leave numbers open as methods; <see cref=\"{kind}.FromName\"/> finds one by its name."
              "FromName"
              list.Parts ]

/// The whole file.
let text () : string =
    [ "// <auto-generated>Written by ./build.sh Catalogue from the library's lists.</auto-generated>"
      "#nullable enable"
      ""
      "namespace Fokker;"
      ""
      yield!
          kind
              Catalogue.paths.Described
              "FlowPath"
              "FlowPaths"
              true
              "How data become noise: x_t = α(t)·x₀ + σ(t)·ε, from the data at t = 0 to noise at t = 1."
      yield! kind Catalogue.losses.Described "TrainingLoss" "Losses" false "What a network is trained to minimize."
      yield!
          kind
              Catalogue.predictions.Described
              "Parametrization"
              "Parametrizations"
              false
              "What a network’s output means."
      yield! kind Catalogue.weights.Described "LossWeight" "LossWeights" false "How much each time counts in a loss."
      yield! kind Catalogue.times.Described "TimeLaw" "TimeLaws" false "The law that training times are drawn from."
      yield!
          kind
              Catalogue.couplings.Described
              "MinibatchCoupling"
              "Couplings"
              false
              "How the data of a batch are paired with the noise, or with samples of another source."
      yield!
          kind
              Catalogue.preconditionings.Described
              "Preconditioner"
              "Preconditioners"
              false
              "What is put around a network so that its input and output are of unit size."
      yield!
          kind
              Catalogue.samplers.Described
              "Solver"
              "Solvers"
              true
              "How samples are made: a numerical method for the flow or the reverse process."
      yield!
          kind
              Catalogue.steerings.Described
              "Steerer"
              "Steerers"
              true
              "How samples are steered towards what was observed, or towards a reward."
      yield! kind Catalogue.grids.Described "TimeGrid" "TimeGrids" true "How the steps of a solver are spaced in time."
      yield!
          kind
              Catalogue.traces.Described
              "DivergenceEstimator"
              "DivergenceEstimators"
              false
              "How the divergence of a flow is found for a likelihood."
      yield!
          kind
              Catalogue.networks.Described
              "NetworkKind"
              "NetworkKinds"
              false
              "What is trained: a function of the state and the time."
      yield!
          listOf
              "DataSource"
              "DataSources"
              "The data sets that the library knows by name."
              "<see cref=\"DataSource\"/> has those that are files or in memory."
              "Named"
              // A data set that is a file is one of DataSource's methods.
              (Catalogue.datasets.Described.Parts |> List.filter (fun part -> not (part.Name.Contains ':'))) ]
    |> String.concat "\n"
    |> fun text -> text.TrimEnd() + "\n"
