// Learns what is usual from a table of numbers, and says of each row of another how unusual it is.
//   dotnet run --project samples/AnomalyScores -- usual.csv new.csv scores.csv 3000
using System.Globalization;
using Fokker;

if (args.Length != 4 || !int.TryParse(args[3], out var steps))
{
    Console.Error.WriteLine("Say two tables, the file for the scores and the steps: usual.csv new.csv scores.csv 3000");
    return 2;
}

try
{
    var (usual, asked) = (Read(args[0]), Read(args[1]));

    // Every fifth row is kept from the training: how likely rows are that it has not seen is what others are held against.
    var seen = usual.Where((_, k) => k % 5 != 0).ToArray();
    var kept = usual.Where((_, k) => k % 5 == 0).ToArray();
    var trainer = new FlowTrainer(new TrainingOptions { Steps = steps });
    await using var model = await trainer.TrainAsync(DataSource.FromSamples(Batch(seen)));

    var ordinary = (await model.LogLikelihoodAsync(Batch(kept))).Values.Order().ToArray();
    var found = (await model.LogLikelihoodAsync(Batch(asked))).Values;

    // The share of usual rows that are at most as likely: below 0.01 a row is rarer than a hundredth of them.
    double Share(double density) => ordinary.Count(other => other <= density) / (double)ordinary.Length;
    var lines = found.Select((nats, k) => FormattableString.Invariant($"{k + 1},{nats:F3},{Share(nats):F4}"));
    File.WriteAllLines(args[2], ["row,log_density,share_of_usual_rows_at_most_as_likely", .. lines]);
    Console.WriteLine(
        $"{found.Count(nats => Share(nats) < 0.01)} of {asked.Length} rows are unusual; all scores are in {args[2]}"
    );
    return 0;
}
catch (Exception error) when (error is FokkerException or ArgumentException or IOException or FormatException)
{
    Console.Error.WriteLine(error.Message);
    return 2;
}

// The rows of a table whose first line names its columns.
static double[][] Read(string file) =>
    [
        .. File.ReadLines(file)
            .Skip(1)
            .Where(line => line != "")
            .Select(line => line.Split(',').Select(cell => double.Parse(cell, CultureInfo.InvariantCulture)).ToArray()),
    ];

static SampleBatch Batch(double[][] rows) =>
    SampleBatch.FromArray([.. rows.SelectMany(row => row)], [rows.Length, rows[0].Length]);
