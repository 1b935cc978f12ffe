// Trains a model, says how far it is, and draws from it; Ctrl-C keeps what was learned, and the same line goes on with it.
//   dotnet run --project samples/ConsoleTrainer -- moons 3000 runs/mine
//   dotnet run --project samples/ConsoleTrainer -- measurements.csv 3000 runs/measurements
using Fokker;

if (args.Length != 3 || !int.TryParse(args[1], out var steps))
{
    Console.Error.WriteLine("Say the data, the steps and the folder: moons 3000 runs/mine");
    return 2;
}

var (data, folder) = (args[0], args[2]);
using var stop = new CancellationTokenSource();
Console.CancelKeyPress += (_, pressed) =>
{
    pressed.Cancel = true;
    stop.Cancel();
};

try
{
    var source = File.Exists(data) ? DataSource.FromFile(data) : DataSource.Named(data);
    var trainer = Directory.Exists(folder)
        ? FlowTrainer.ResumeFrom(folder)
        : new FlowTrainer(new TrainingOptions { Steps = steps, Folder = folder });
    var progress = new Progress<TrainingProgress>(p => Console.Error.Write($"\r{p.Fraction:P0}  loss {p.Loss:F3} "));

    await using var model = await trainer.TrainAsync(source, progress, stop.Token);
    var samples = await model.SampleAsync(new SampleOptions { Count = 1000, Seed = 1 }, stop.Token);
    samples.SaveNpy(Path.Combine(folder, "samples.npy"));
    samples.SavePng(Path.Combine(folder, "samples.png"));
    Console.WriteLine(
        $"{model.Training!.Steps} steps in {model.Training.Elapsed.TotalSeconds:F0} s, samples in {folder}"
    );
    return 0;
}
catch (TrainingCanceledException cancelled)
{
    Console.Error.WriteLine(cancelled.Message);
    return 130;
}
catch (Exception error) when (error is FokkerException or ArgumentException)
{
    // One line that says what was wrong, and what would be right.
    Console.Error.WriteLine(error.Message);
    return 2;
}
