namespace Fokker

open System
open System.Globalization

/// The numbers that a parameter accepts, all of them finite.
[<RequireQualifiedAccess>]
type Allowed =
    | Real
    | Positive
    | AtLeast of float
    /// low ≤ x ≤ high.
    | Within of low: float * high: float
    /// Whole numbers.
    | Whole of least: int

    /// The largest whole number: tables have as many entries, and methods as many steps.
    static member MostWhole = 1_000_000

    member allowed.Contains(x: float) : bool =
        Double.IsFinite x
        && match allowed with
           | Real -> true
           | Positive -> x > 0.0
           | AtLeast least -> x >= least
           | Within(low, high) -> low <= x && x <= high
           | Whole least -> x = Math.Round x && float least <= x && x <= float Allowed.MostWhole

    override allowed.ToString() =
        match allowed with
        | Real -> "a finite number"
        | Positive -> "a positive number"
        | AtLeast least -> $"a number of at least {least}"
        | Within(low, high) -> $"a number from {low} to {high}"
        | Whole least -> $"a whole number from {least} to {Allowed.MostWhole}"

/// A number that a part leaves open: γ of min-SNR's weight, for instance.
type Parameter = { Name: string; Default: float; Allowed: Allowed; Meaning: string }

/// A part by name, with the numbers that it is given: `min-snr:gamma=3`. This is what `run.json` keeps.
type PartName =
    {
        Name: string
        /// By the names of the part's parameters; one that is left out has its default.
        Numbers: (string * float) list
    }

    override name.ToString() =
        let number (key, value: float) = $"""{key}={value.ToString("R", CultureInfo.InvariantCulture)}"""

        match name.Numbers with
        | [] -> name.Name
        | numbers -> $"""{name.Name}:{numbers |> List.map number |> String.concat ","}"""

/// Something that models are made of and that the literature has a name for: a path, a weight, a sampler. One list of each kind drives the command line, `list`,
/// C#'s catalogue, the tests and the docs.
[<NoComparison; NoEquality>]
type Part<'T> =
    {
        Name: string
        /// What it is in one sentence, an abbreviated name spelled out; blank where the equation is words already.
        Summary: string
        /// With the parameters at their defaults.
        Equation: string
        Reference: string
        Parameters: Parameter list
        /// The part with a number for each parameter, in their order. Raises ArgumentException where the numbers do not go together.
        Make: float list -> 'T
    }

[<RequireQualifiedAccess>]
module PartName =

    /// A name alone.
    let plain (name: string) : PartName = { Name = name; Numbers = [] }

[<RequireQualifiedAccess>]
module Parameter =

    let make name value allowed meaning : Parameter =
        { Name = name; Default = value; Allowed = allowed; Meaning = meaning }

    /// `gamma = 5, a positive number: the largest ratio that counts`.
    let describe (p: Parameter) : string =
        $"{p.Name} = {p.Default.ToString CultureInfo.InvariantCulture}, {p.Allowed}: {p.Meaning}"

[<RequireQualifiedAccess>]
module Part =

    /// A part that leaves nothing open.
    let inline fixedAt
        (value: ^T when ^T: (member Name: string) and ^T: (member Equation: string) and ^T: (member Reference: string))
        : Part< ^T > =
        { Name = value.Name
          Summary = ""
          Equation = value.Equation
          Reference = value.Reference
          Parameters = []
          Make = fun _ -> value }

    /// A part that leaves numbers open; what is said of it is said with their defaults.
    let inline leaving (parameters: Parameter list) (make: float list -> ^T) : Part< ^T > =
        { fixedAt (make (parameters |> List.map _.Default)) with Parameters = parameters; Make = make }

    /// A part of one parameter, of two, of three.
    let inline of1 a (make: float -> ^T) : Part< ^T > = leaving [ a ] (fun x -> make x[0])
    let inline of2 a b (make: float -> float -> ^T) : Part< ^T > = leaving [ a; b ] (fun x -> make x[0] x[1])
    let inline of3 a b c (make: float -> float -> float -> ^T) : Part< ^T > =
        leaving [ a; b; c ] (fun x -> make x[0] x[1] x[2])

    /// The part whose values say by their names which of its numbers are not the defaults, so that the name alone makes the value again.
    let naming (rename: string -> 'T -> 'T) (part: Part<'T>) : Part<'T> =
        { part with
            Make =
                fun numbers ->
                    let own =
                        List.zip part.Parameters numbers
                        |> List.filter (fun (p, number) -> number <> p.Default)
                        |> List.map (fun (p, number) -> p.Name, number)

                    let value = part.Make numbers
                    if own.IsEmpty then value else rename (string { Name = part.Name; Numbers = own }) value }

    let map (f: 'T -> 'U) (part: Part<'T>) : Part<'U> =
        { Name = part.Name
          Summary = part.Summary
          Equation = part.Equation
          Reference = part.Reference
          Parameters = part.Parameters
          Make = part.Make >> f }

    /// The part with a sentence that says what it is.
    let saying (summary: string) (part: Part<'T>) : Part<'T> = { part with Summary = summary }

    /// The part with the defaults of its parameters.
    let standard (part: Part<'T>) : 'T = part.Make(part.Parameters |> List.map _.Default)

    /// A part's name with all of its numbers, those that are not given by their defaults.
    let name (numbers: (string * float) list) (part: Part<'T>) : PartName =
        let number (p: Parameter) =
            p.Name, numbers |> List.tryFind (fst >> (=) p.Name) |> Option.map snd |> Option.defaultValue p.Default

        { Name = part.Name; Numbers = part.Parameters |> List.map number }

/// The parts of one kind, with the words for them.
[<NoComparison; NoEquality>]
type PartList<'T> =
    {
        /// Of the list, as `list` has it: `weights`.
        Name: string
        /// The setting of a request that takes one of them; none where they are all used.
        Setting: Setting option
        /// One of them, and several: `weight`, `weights`.
        One: string
        Many: string
        Parts: Part<'T> list
    }

    member private list.Refuse(given: obj, text: string) : 'U =
        match list.Setting with
        | Some setting -> refuse setting given $"{text}"
        | None -> raise (UserError text)

    member private list.Part(name: string) : Part<'T> =
        match
            list.Parts
            |> List.tryFind (fun p -> String.Equals(p.Name, name, StringComparison.OrdinalIgnoreCase))
        with
        | Some part -> part
        | None -> list.Refuse("", Names.unknown "" list.One list.Many (list.Parts |> List.map _.Name) name)

    /// The part with its numbers checked: each must be one of its own, and in its range.
    member private list.Checked(given: obj, name: PartName) : Part<'T> * PartName =
        let part = list.Part name.Name

        let known =
            match part.Parameters with
            | [] -> $"{part.Name} has no numbers"
            | all -> $"""{part.Name} has {all |> List.map Parameter.describe |> String.concat "; "}"""

        for key, value in name.Numbers do
            match part.Parameters |> List.tryFind (fun p -> p.Name = key) with
            | None -> list.Refuse(given, $"there is no number '{key}'; {known}")
            | Some p when not (p.Allowed.Contains value) ->
                list.Refuse(
                    given,
                    $"{key} is {value.ToString CultureInfo.InvariantCulture}: expected {p.Allowed}; {known}"
                )
            | Some _ -> ()

        match name.Numbers |> List.countBy fst |> List.tryFind (fun (_, count) -> count > 1) with
        | Some(key, _) -> list.Refuse(given, $"{key} is given more than once")
        | None -> part, Part.name name.Numbers part

    /// Whether the notation begins with the name of one of them.
    member list.Has(text: string) : bool =
        let name = text.Split(':')[0]
        list.Parts |> List.exists (fun p -> String.Equals(p.Name, name, StringComparison.OrdinalIgnoreCase))

    /// The part that a name with numbers stands for. Raises RefusedException where there is none of that name, or it cannot have these numbers.
    member list.Make(name: PartName) : 'T =
        let part, name = list.Checked(name, name)

        try
            part.Make(List.map snd name.Numbers)
        with :? ArgumentException as e ->
            list.Refuse(name, Refusal.reason e)

    /// What the notation `name`, `name:number` or `name:key=number,…` says; a number alone is that of the first parameter. Raises RefusedException where it says
    /// nothing, with what there is.
    member list.Parse(text: string) : PartName =
        let name, rest =
            match text.IndexOf ':' with
            | -1 -> text, []
            | at -> text.Substring(0, at), List.ofArray (text.Substring(at + 1).Split ',')

        let part = list.Part name

        let number (item: string) (text: string) =
            match Double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture) with
            | true, value -> value
            | _ -> list.Refuse(text, $"'{item}' is no number: expected {part.Name}:NAME=NUMBER,…")

        let numbers =
            match rest, part.Parameters with
            | [ item ], first :: _ when not (item.Contains '=') -> [ first.Name, number item item ]
            | items, _ ->
                [ for item in items do
                      match item.Split '=' with
                      | [| key; value |] -> key.Trim().ToLowerInvariant(), number item value
                      | _ -> list.Refuse(text, $"'{item}': expected {part.Name}:NAME=NUMBER,…") ]

        let name = snd (list.Checked(text, { Name = name; Numbers = numbers }))
        list.Make name |> ignore
        name

    /// `Parse`, and the part that it names.
    member list.Find(text: string) : 'T = list.Make(list.Parse text)

    /// What there is, without what it is made into.
    member list.Described: PartList<unit> =
        { Name = list.Name
          Setting = list.Setting
          One = list.One
          Many = list.Many
          Parts = list.Parts |> List.map (Part.map ignore) }
