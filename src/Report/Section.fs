/// What a report is made of: plain values, so that an experiment says what to show and never how to draw it.
namespace Fokker.Report

open Fokker.Pictures

/// Panels side by side over the same window of the plane, with equal axes.
type Scatter = { Panels: Panel list; XLabel: string; YLabel: string }

/// What a slider moves along, where it is not the time between noise and data: a symbol, and what the two ends are.
type Clock = { Symbol: string; First: string; Last: string }

/// A cloud of samples at several times.
type CloudMotion =
    {
        /// The times in the order of play, [F]; sampling runs from 1 (noise) down to 0 (data).
        Times: float[]
        /// What the times are of; none for t.
        Clock: Clock option
        /// The same N points at each time: F arrays of [N; 2].
        Frames: float32[][]
        /// The class of each point, [N]; empty where there are no classes.
        Classes: int[]
        /// A cloud drawn faintly behind the moving one, such as the data.
        Behind: Cloud option
    }

/// A velocity field dx/dt on a regular grid of the plane, at several times.
type FieldMotion =
    {
        /// The times in the order of play, [F].
        Times: float[]
        /// The grid's abscissae, increasing and evenly spaced, [Nx].
        Xs: float32[]
        /// The grid's ordinates, increasing and evenly spaced, [Ny].
        Ys: float32[]
        /// The field at each time: F arrays of [Ny; Nx; 2].
        Velocities: float32[][]
        /// Samples at the same times, drawn under the field: F arrays of [N; 2], or no array at all.
        Frames: float32[][]
    }

/// How a line of a chart is drawn.
[<RequireQualifiedAccess>]
type Stroke =
    /// A plain line.
    | Solid
    /// A line that stands back, such as raw values under their mean.
    | Faint
    /// A line that is a reference, such as a slope or a noise floor.
    | Dashed
    /// A line with a mark at each point: few values, each of them measured.
    | Marked

/// One line of a chart; values that are not finite leave a gap.
type Line = { Label: string; Tone: Tone; Stroke: Stroke; X: float[]; Y: float[] }

/// Lines over common axes; the reader can turn either axis logarithmic.
type LineChart = { XLabel: string; YLabel: string; LogX: bool; LogY: bool; Lines: Line list }

/// How values become colours.
[<RequireQualifiedAccess>]
type Scale =
    /// From little to much.
    | Sequential
    /// From negative to positive; white is 0.
    | Diverging

/// A function of two variables on a grid.
type HeatMap =
    {
        Xs: float[]
        Ys: float[]
        /// Row-major [Ny; Nx].
        Values: float32[]
        Scale: Scale
        XLabel: string
        YLabel: string
        /// What a value is, with its unit.
        ValueLabel: string
        /// Whether a unit of x is as long as a unit of y.
        EqualAxes: bool
    }

/// A grid of images.
type ImageGrid =
    {
        Title: string
        Images: Images
        Columns: int
        /// A label under each image, such as its class: [N], or empty.
        Labels: string[]
    }

/// A grid of images at several times.
type ImageMotion =
    {
        /// The times in the order of play, [F].
        Times: float[]
        /// What the times are of; none for t.
        Clock: Clock option
        /// The same images at each time, [F].
        Frames: Images[]
        Columns: int
    }

/// A mark of a schematic. Coordinates are those of the panel's window.
[<RequireQualifiedAccess>]
type Mark =
    /// An amount from 0 up, row-major [rows; columns] over the whole window from its lower left corner: the more of it, the more ink.
    | Shade of tone: Tone * columns: int * values: float[]
    /// Lines, each through its points in order.
    | Curves of tone: Tone * stroke: Stroke * curves: (float * float)[][]
    | Dots of tone: Tone * points: (float * float)[]
    /// An arrow from each place (x, y) by (dx, dy).
    | Arrows of tone: Tone * arrows: struct (float * float * float * float)[]

/// One panel of a schematic: marks over a window of the plane, the first of them behind the others.
type SchematicPanel =
    {
        Title: string
        XLabel: string
        YLabel: string
        Window: Window
        /// Whether a unit of x is as long as a unit of y.
        EqualAxes: bool
        Marks: Mark list
    }

/// A schematic: panels side by side, drawn once and for all, without a script. Where there is no room for `Columns` of them they are set below one another.
type Schematic =
    {
        Columns: int
        Panels: SchematicPanel list
        /// What each colour stands for.
        Legend: (Tone * string) list
    }

/// A measured number, and the number that it should be read against.
type Metric =
    {
        Name: string
        Value: float
        /// The standard error of the value, where it is known.
        Error: float option
        /// What two independent draws of the truth score against each other at the same sample size.
        Floor: float option
        /// What the value says beside that, in words.
        Verdict: string
        /// What was measured, and how.
        Note: string
    }

/// A cell of a table.
[<RequireQualifiedAccess>]
type Cell =
    | Text of string
    | Number of float
    | Missing

/// A table: one heading for each column, and rows of as many cells.
type Table = { Columns: string list; Rows: Cell list list }

/// What a reader needs to repeat the run.
type Settings =
    {
        /// The command line, ready to be pasted into a shell.
        Command: string
        /// Named groups of settings, each a name and its value.
        Groups: (string * (string * string) list) list
    }

/// What a section shows. A new kind of figure is a new case here: the compiler then names every place that must know it.
[<RequireQualifiedAccess>]
type Body =
    /// Paragraphs, in the markup of `Section.Note`.
    | Prose of paragraphs: string list
    | Metrics of Metric list
    | Table of Table
    | Settings of Settings
    | Lines of LineChart
    | HeatMap of HeatMap
    | Scatter of Scatter
    | CloudMotion of CloudMotion
    | FieldMotion of FieldMotion
    | Images of ImageGrid list
    | ImageMotion of ImageMotion
    | Schematic of Schematic

/// A titled part of a report.
type Section =
    {
        Title: string
        /// A sentence or two that say how to read it. `code`, *emphasis* and $x_t = α(t) x_0 + σ(t) ε$ are understood.
        Note: string
        /// What is shown, from top to bottom.
        Bodies: Body list
    }

/// One of the few numbers at the head of a report.
type Headline =
    {
        Label: string
        Value: string
        /// What the value is to be read against, in a few words.
        Note: string
    }
