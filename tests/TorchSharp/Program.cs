using Fokker;
using Microsoft.FSharp.Core;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch.nn;
using Tensor = Fokker.Tensor;

void Check(bool holds, string what)
{
    if (!holds)
    {
        throw new InvalidOperationException($"not so: {what}");
    }

    Console.WriteLine($"as expected: {what}");
}

bool Close(double a, double b, double tolerance) => Math.Abs(a - b) <= tolerance;

Tensor Row(params float[] numbers) => TensorModule.ofArray([numbers.Length], numbers);

// ---- tensors

Check(TensorExchange.SharesMemory, "both libraries are on one libtorch");

foreach (var copies in new[] { false, true })
{
    var how = copies ? "copied" : "handed over";
    using var theirs = copies ? TensorExchange.CopyToTorchSharp(Row(1, 2, 3)) : Row(1, 2, 3).ToTorchSharp();
    Check(theirs.data<float>().ToArray() is [1, 2, 3], $"a tensor of Fokker's, {how}, has its numbers");

    foreach (
        var type in new[]
        {
            torch.float32,
            torch.float64,
            torch.float16,
            torch.bfloat16,
            torch.int64,
            torch.int32,
            torch.int16,
            torch.int8,
            torch.uint8,
            torch.@bool,
        }
    )
    {
        using var whole = torch.arange(12, dtype: torch.float32).reshape(3, 4).to(type);
        using var turned = whole.t();
        var ours = copies ? TensorExchange.CopyToFokker(turned) : turned.ToFokker();
        Check(
            ours.Shape is [4, 3] && (int)ours.Dtype == (int)type,
            $"{type} of TorchSharp's, {how}, keeps shape and type"
        );
        using var back = copies ? TensorExchange.CopyToTorchSharp(ours) : ours.ToTorchSharp();
        Check(back.dtype == type && back.eq(turned).all().item<bool>(), $"{type}, {how} and back, keeps its numbers");
    }

    var empty = TensorModule.zeros(Kind.Float32, [0, 3]);
    using var nothing = copies ? TensorExchange.CopyToTorchSharp(empty) : empty.ToTorchSharp();
    Check(nothing.shape is [0, 3], $"an empty tensor, {how}, is one");
}

using (var theirs = torch.zeros(3))
{
    var ours = theirs.ToFokker();
    theirs[1] = torch.tensor(7f);
    Check(TensorModule.toArray<float>(ours) is [0, 7, 0], "memory is shared: what one writes the other reads");
    theirs.Dispose();
    Check(TensorModule.toArray<float>(ours) is [0, 7, 0], "memory stays as long as one of the two does");
}

// ---- derivatives

FSharpFunc<Tensor, Tensor> cubes = FuncConvert.FromFunc<Tensor, Tensor>(x =>
{
    using var scope = torch.NewDisposeScope();
    return x.ToTorchSharp().pow(3).sum().ToFokker();
});

Check(
    TensorModule.toArray<float>(Diff.grad(cubes, Row(1, 2, 3))) is [3, 12, 27],
    "a gradient of Fokker's passes through TorchSharp's operations"
);
Check(
    Diff.jvp(cubes, Row(1, 2, 3), Row(1, 0, 2)).Item2.ToFloat() == 3 + 54,
    "so does a derivative in a direction, forward"
);

var refused = false;

try
{
    Diff.grad(
        FuncConvert.FromFunc<Tensor, Tensor>(x =>
            TensorExchange.CopyToFokker(TensorExchange.CopyToTorchSharp(x).sum())
        ),
        Row(1, 2)
    );
}
catch (TensorException e)
{
    refused = e.Message.Contains("derivative");
}

Check(refused, "a copy, which would lose a derivative, is refused");

// ---- models

// N(0, s²) in d dimensions on x_t = (1 − t) x₀ + t ε: E[ε − x₀ | x_t] = (t − (1 − t) s²)/((1 − t)² s² + t²) x_t.
const double scale = 0.5;
const int d = 3;
using var gaussian = new GaussianVelocity(scale);
await using var exact = TorchSharpModel.FromModule(gaussian, [d]);
var drawn = await exact.SampleAsync(new SampleOptions { Count = 4000, Seed = 1 });
var variance = drawn.ToDoubleArray().Average(x => x * x);

// √(2/12000) of it is a standard deviation.
Check(
    Close(variance, scale * scale, 4 * scale * scale * Math.Sqrt(2.0 / 12000) + 1e-3),
    $"samples of a module have its variance: {variance:F4}"
);

await using var wide = TorchSharpModel.FromModule(gaussian, [d], precision: Precision.Double);
double[] at = [0.1, -0.4, 0.7];
var likelihood = await wide.LogLikelihoodAsync(
    SampleBatch.FromArray(at, [1, d]),
    new LikelihoodOptions { Steps = 100 }
);
var expected = -0.5 * at.Sum(x => x * x) / (scale * scale) - d * Math.Log(scale * Math.Sqrt(2 * Math.PI));
Check(
    Close(likelihood.Mean, expected, 1e-4),
    $"the density of a module, by derivatives of it: {likelihood.Mean:F6} for {expected:F6}"
);

using var network = new Perceptron(2);
await using var learned = TorchSharpModel.FromModule(network, [2]);
var before = Handle.Live;

for (var k = 0; k < 20; k++)
{
    await learned.SampleAsync(
        new SampleOptions
        {
            Count = 256,
            Seed = k,
            Steps = 10,
        }
    );
}

Check(Handle.Live == before, "requests to a module with parameters leave no tensor behind");
Check(!network.training, "the module is in evaluation mode");
var one = await learned.SampleAsync(new SampleOptions { Count = 64, Seed = 3 });
var other = await learned.SampleAsync(new SampleOptions { Count = 64, Seed = 3 });
Check(one.ToArray().SequenceEqual(other.ToArray()), "the same seed gives the same samples");
Console.WriteLine("all as expected");

internal sealed class GaussianVelocity(double scale) : Module<torch.Tensor, torch.Tensor, torch.Tensor>("gaussian")
{
    public override torch.Tensor forward(torch.Tensor x, torch.Tensor t)
    {
        var rest = 1 - t;
        var factor = (t - rest * (scale * scale)) / (rest * rest * (scale * scale) + t * t);
        return factor.unsqueeze(1) * x;
    }
}

internal sealed class Perceptron : Module<torch.Tensor, torch.Tensor, torch.Tensor>
{
    private readonly Sequential layers;

    public Perceptron(int d)
        : base("perceptron")
    {
        layers = Sequential(Linear(d + 1, 32), SiLU(), Dropout(0.5), Linear(32, d));
        RegisterComponents();
    }

    public override torch.Tensor forward(torch.Tensor x, torch.Tensor t) =>
        layers.call(torch.cat([x, t.unsqueeze(1)], 1));
}
