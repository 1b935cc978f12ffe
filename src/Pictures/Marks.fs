/// What pictures show: plain values.
namespace Fokker.Pictures

/// What a set of marks stands for. It fixes their colour, so that data looks the same on every figure of every report.
[<RequireQualifiedAccess>]
type Tone =
    /// The law to be learnt.
    | Data
    /// What the model made.
    | Model
    /// The source: what sampling starts from.
    | Noise
    /// One of several things compared with one another, counted from 0.
    | Series of index: int

/// A set of points in the plane.
type Cloud =
    {
        Label: string
        Tone: Tone
        /// The points, interleaved x₀ y₀ x₁ y₁ …: a row-major [N; 2].
        Points: float32[]
        /// The class of each point, [N], from 0; it then decides the colour. Empty where there are no classes.
        Classes: int[]
    }

/// Clouds that share one pair of axes.
type Panel = { Title: string; Clouds: Cloud list }

/// A batch of images.
type Images =
    {
        /// Row-major [N; C; H; W] in [−1, 1].
        Pixels: float32[]
        /// 1 (grey) or 3 (red, green, blue).
        Channels: int
        Height: int
        Width: int
    }

    /// How many images there are.
    member images.Count = images.Pixels.Length / max 1 (images.Channels * images.Height * images.Width)
